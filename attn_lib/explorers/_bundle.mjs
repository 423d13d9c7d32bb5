// Bundles the explorers' ES modules and style sheets into built/, or tells whether built/ is stale.
//
//   node _bundle.mjs           write built/
//   node _bundle.mjs --check   write nothing; end with 1 where built/ is not what would be written
//
// built/<name>.mjs    an explorer's own view and what it needs: anywidget's module, with a kernel
// built/book.js       every view: the one classic script that all of the book's pages share, because
//                     a page opened from a folder may not load modules
// built/explorer.css  the style sheet of both

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "built");

// An explorer is two files of one name; names with an underscore in front are no explorers.
const names = readdirSync(here)
  .filter((file) => /^[a-z]\w*\.mjs$/.test(file))
  .map((file) => file.slice(0, -".mjs".length))
  .sort();

/** @type {(contents: string, format: "esm" | "iife") => Promise<string>} */
async function bundle(contents, format) {
  const made = await build({
    stdin: { contents, resolveDir: here, loader: "js" },
    bundle: true,
    charset: "utf8",
    format,
    legalComments: "none",
    minify: true,
    target: ["chrome111", "firefox113", "safari16.4"],
    write: false,
  });
  return made.outputFiles[0].text;
}

const widget = (/** @type {string} */ name) => `
  import { view } from "./${name}.mjs";
  import { widget } from "./front/widget.mjs";
  export default widget(view);
`;

const book = `
  import { hydrate, soon } from "./front/page.mjs";
  ${names.map((name, k) => `import { view as view${k} } from "./${name}.mjs";`).join("\n")}
  // Apart from reading the script, so that neither keeps the page from answering for long.
  soon(() => hydrate(document, { ${names.map((name, k) => `${name}: view${k}`).join(", ")} }));
`;

async function style() {
  const made = await build({
    entryPoints: [join(here, "front", "explorer.css")],
    bundle: true,
    minify: true,
    target: ["chrome111", "firefox113", "safari16.4"],
    write: false,
  });
  return made.outputFiles[0].text;
}

/** @type {Map<string, string>} */
const wanted = new Map();
for (const name of names) wanted.set(`${name}.mjs`, await bundle(widget(name), "esm"));
wanted.set("book.js", await bundle(book, "iife"));
wanted.set("explorer.css", await style());

mkdirSync(target, { recursive: true });
const found = new Set(readdirSync(target));
const isStale = (/** @type {string} */ file) =>
  !found.has(file) || readFileSync(join(target, file), "utf8") !== wanted.get(file);
const stale = [...wanted.keys()].filter(isStale);
const strange = [...found].filter((file) => !wanted.has(file));

if (process.argv.includes("--check")) {
  for (const file of stale) console.error(`built/${file} is stale: run make front`);
  for (const file of strange) console.error(`built/${file} belongs to no module: run make front`);
  process.exitCode = stale.length + strange.length > 0 ? 1 : 0;
} else {
  for (const file of stale) writeFileSync(join(target, file), wanted.get(file) ?? "");
  for (const file of strange) rmSync(join(target, file));
  console.log(`built/: ${wanted.size} files, ${stale.length} new, ${strange.length} removed`);
}
