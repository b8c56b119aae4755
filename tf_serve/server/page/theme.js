// Light or dark: the system's choice, or the reader's; run before the first paint, so not a module.
{
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } }; // a browser may forbid it
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* the choice holds for this page */ } };
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const other = () => (now() === "dark" ? "light" : "dark");
  if (kept() === "dark" || kept() === "light") root.dataset.theme = kept();
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      button.textContent = other() === "dark" ? "Dark" : "Light";
      button.setAttribute("aria-label", `Switch to ${other()} colours`);
    };
    button.addEventListener("click", () => {
      keep((root.dataset.theme = other()));
      say();
    });
    dark.addEventListener("change", say);
    say();
  });
}
