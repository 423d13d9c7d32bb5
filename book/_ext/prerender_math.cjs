// Reads {"folder": MathJax's folder, "formulas": [[TeX, display], ...]} from standard input and
// writes {"formulas": [{"mathml"} or {"error"}, ...]}.
const { folder, formulas } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

require(`${folder}/node-main.js`)
  .init({
    loader: { load: ["adaptors/liteDOM", "input/tex-full"], versionWarnings: false },
    tex: {
      packages: ["base", "ams", "boldsymbol", "mathtools", "newcommand", "textmacros"],
      tags: "none",
      formatError: (_, error) => {
        throw error;
      },
    },
  })
  .then((MathJax) => {
    const render = ([tex, display]) => {
      try {
        return { mathml: MathJax.tex2mml(tex, { display }) };
      } catch (error) {
        return { error: error.message };
      }
    };
    process.stdout.write(JSON.stringify({ formulas: formulas.map(render) }));
  })
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
