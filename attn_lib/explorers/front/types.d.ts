// The shapes that the modules pass to each other. Checked by `tsc`, and in no bundle.

import type { RowTable } from "./row_table.mjs";

/** An array as it travelled: its bytes, and what they stand for. sqrt8 and signed codes stay codes. */
export interface Coded {
  coding: string;
  shape: number[];
  bytes: Uint8Array;
  values: Uint8Array | Int32Array | Float32Array;
  digest?: string;
}

/** The arrays of one state of the controls, by name. */
export type Frame = Record<string, Coded>;

/** Where a coded array lies: coding, shape, and its stretch of the payload. */
export type Place = [coding: string, shape: number[], offset: number, length: number];

export type Value = boolean | number | string | number[] | string[];

/** The values of the controls, by name. */
export type State = Record<string, any>;

/** A control, less its words (`_controls.py`). */
export interface Control {
  name: string;
  kind: "range" | "choice" | "toggle" | "positions" | "members";
  default: any;
  grid: any[];
  when?: Record<string, Value[]>;
  options?: any[];
  low?: number;
  high?: number;
  step?: number;
  play?: boolean;
  count?: number;
}

/** What a view needs besides frames, and no language changes. */
export interface Spec {
  name: string;
  /** The name of its two files. */
  module: string;
  controls: Control[];
  facts: any;
}

/** A message: a template, or one for each plural category, chosen by the number in the hole `by`. */
export type Message = string | ({ by: string } & Record<string, string>);

export interface Labels {
  label: string;
  help?: string;
  options?: string[];
}

/** Every word that an explorer shows, in one language (`words.py`). */
export interface Wording {
  language: string;
  words: Record<string, Message>;
  labels: Record<string, Labels>;
}

export type Values = Record<string, string | number>;

/** What fills templates and writes numbers out in the language of a wording. */
export interface Words {
  (name: string, values?: Values): string;
  whole(x: number): string;
  decimals(x: number, digits: number): string;
  number(x: number): string;
  list(items: string[]): string;
  /** A message filled with what travelled beside a frame. */
  tell(name: string, values: Record<string, Filling>): string;
  /** The holes of a message. */
  holes(name: string): string[];
  labelled(label: string, help: string): string;
  labels: Record<string, Labels>;
}

/** What fills a hole of a summary: text, a count, a number with its decimals, or where a word stands. */
export type Filling =
  | string
  | number
  | [value: number, digits: number]
  | { word: string }
  | { option: [control: string, place: number] };

/** What a state comes to: the name of a message, and what fills its holes. */
export interface Told {
  name: string;
  values: Record<string, Filling>;
}

export type Use = (frame: Frame, state: State, told: Told) => void;

/** Where frames come from: the page, or a kernel. */
export interface Source {
  spec: Spec;
  wording: Wording;
  isLive: boolean;
  choices(control: Control, state: State): any[];
  frame(state: State, use: Use, fail: (message: string) => void): void;
}

/** A chosen place in the picture: row and column, say; null where nothing is chosen yet. */
export type Pick = any[];

export type Choose = (pick: Pick, isFirm: boolean) => void;

/** What a view is made with. */
export interface Kit {
  facts: any;
  words: Words;
  say(text: string): void;
  choose: Choose;
  put(name: string, value: Value): void;
}

/** Colours, by the names of the style sheet's variables. */
export interface Theme {
  hex(name: string): string;
  ramp: Uint32Array;
  rampStyle: string[];
  rampInk: string[];
  blend(names: string[]): Uint32Array;
  table(names: string[]): Uint32Array;
}

/** An explorer's picture: drawn anew for a frame, pointed at for a pick. */
export interface View {
  el: HTMLElement;
  start: Pick;
  limits: number[];
  layout(width: number): void;
  draw(frame: Frame, state: State, theme: Theme): void;
  point(pick: Pick, frame: Frame, state: State, theme: Theme): void;
  /** Its rows in words. */
  rows?: RowTable;
  /** How many places of a pick an address must name; all that are not null at the start, if left out. */
  least?: number;
  /** What no frame can know, since a page cannot carry it, put right in its summary. */
  correct?(told: Told, frame: Frame, state: State): Told;
}

export type MakeView = (kit: Kit) => View;

/** anywidget's model, as far as it is used here. */
export interface Model {
  get(name: string): any;
  set(name: string, value: any): void;
  save_changes(): void;
  send(content: object): void;
  on(event: string, callback: (...data: any[]) => void): void;
  off(event: string, callback: (...data: any[]) => void): void;
}
