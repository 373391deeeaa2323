// Runs before anything is painted: which language, and which colours.
(() => {
  const root = document.documentElement, known = /^(en|zh|both)$/;
  const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const [navigation] = performance.getEntriesByType?.("navigation") || [];
  const asked = new URLSearchParams(location.search).get("lang");
  const saved = stored("language");
  const inOrder = navigation?.type === "back_forward" ? [saved, asked] : [asked, saved];
  const language = inOrder.find((name) => known.test(name)) || (/^zh/i.test(navigator.language) ? "zh" : "en");
  root.dataset.language = language;
  root.lang = language === "zh" ? "zh" : "en";
  const colours = stored("colours");
  if (/^(light|dark)$/.test(colours)) root.dataset.colours = colours;
})();
