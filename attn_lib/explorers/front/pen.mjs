// Marks on a canvas whose unit is a cell.

/** @param {CanvasRenderingContext2D} context @param {number} cell device pixels @param {number} ratio of a CSS pixel */
export function pen(context, cell, ratio) {
  const { width } = context.canvas;

  /** @param {string} colour @param {number} thick */
  function stroke(colour, thick) {
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.lineJoin = "miter";
  }

  return {
    /** @param {number} i @param {string} colour */
    row(i, colour) {
      stroke(colour, 1);
      context.strokeRect(ratio / 2, i * cell - ratio / 2, width - ratio, cell + ratio);
    },
    /** @param {number} i @param {number} j @param {number} height @param {number} span @param {string} colour */
    shade(i, j, height, span, colour) {
      context.fillStyle = colour;
      context.fillRect(j * cell, i * cell, span * cell, height * cell);
    },
    /** @param {number} i @param {number} j @param {string} colour */
    box(i, j, colour, thick = 2) {
      const w = thick * ratio;
      stroke(colour, thick);
      context.strokeRect(j * cell - w / 2, i * cell - w / 2, cell + w, cell + w);
    },
    /** @param {number} i @param {number} j @param {number} height @param {number} span @param {string} colour */
    outline(i, j, height, span, colour, thick = 1) {
      stroke(colour, thick);
      context.strokeRect(j * cell, i * cell, span * cell, height * cell);
    },
    /** @param {[number, number][]} points @param {string} colour */
    path(points, colour, thick = 2) {
      stroke(colour, thick);
      context.lineJoin = "round";
      context.beginPath();
      points.forEach(([i, j], k) => {
        context[k ? "lineTo" : "moveTo"]((j + 0.5) * cell, (i + 0.5) * cell);
      });
      context.stroke();
    },
    /** @param {number} i @param {number} j @param {string} colour */
    dot(i, j, colour, radius = 3) {
      context.fillStyle = colour;
      context.beginPath();
      context.arc((j + 0.5) * cell, (i + 0.5) * cell, radius * ratio, 0, 7);
      context.fill();
    },
  };
}
