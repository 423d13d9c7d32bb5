// Reads {"folder": MathJax's folder, "formulas": [[TeX, display], ...]} from standard input and
// writes {"formulas": [{"html", "mathml"} or {"error"}, ...], "css": the styles they need}.
const { folder, formulas } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

require(`${folder}/node-main.js`)
  .init({
    loader: {
      load: ["adaptors/liteDOM", "input/tex-full", "output/chtml"],
      versionWarnings: false,
    },
    tex: {
      packages: ["base", "ams", "boldsymbol", "mathtools", "newcommand", "textmacros"],
      tags: "none",
      formatError: (_, error) => {
        throw error;
      },
    },
    chtml: { fontURL: "math", adaptiveCSS: true },
  })
  .then((MathJax) => {
    const adaptor = MathJax.startup.adaptor;
    const render = ([tex, display]) => {
      try {
        const html = adaptor.outerHTML(MathJax.tex2chtml(tex, { display }));
        return { html, mathml: MathJax.tex2mml(tex, { display }) };
      } catch (error) {
        return { error: error.message };
      }
    };
    const rendered = formulas.map(render);
    const css = adaptor.textContent(MathJax.chtmlStylesheet());
    process.stdout.write(JSON.stringify({ formulas: rendered, css }));
  })
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
