// Language, colours, the drawer on phones, copying code, and where one is on the page.
const root = document.documentElement;
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode: not remembered */ } };
const said = { en: (e) => e.dataset.en, zh: (e) => e.dataset.zh, both: (e) => e.dataset.both || `${e.dataset.en} · ${e.dataset.zh}` };

// --- Language ---------------------------------------------------------------------------------------------------

function speak() {
  const language = root.dataset.language;
  root.lang = language === "zh" ? "zh" : "en";
  document.title = said[language](document.querySelector("title"));
  for (const element of document.querySelectorAll("[data-said]"))
    for (const name of element.dataset.said.split(" ")) element.setAttribute(name, said[language](element));
  for (const button of document.querySelectorAll(".languages [data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  document.dispatchEvent(new Event("language"));
}

// The block of text at the top of the window, and its counterpart in the other language.
function place() {
  const top = document.querySelector(".top").offsetHeight;
  const blocks = document.querySelectorAll("article :is(h1, h2, h3, p, li, pre, table, img, .math-block, summary)");
  const first = [...blocks].find((block) => {
    const box = block.getBoundingClientRect();
    return box.height > 0 && box.bottom > top + 1;
  });
  if (!first) return () => {};
  const offset = first.getBoundingClientRect().top;
  const half = first.closest(".half"), other = half?.parentElement.querySelector(`:scope > .half:not([lang="${half.lang}"])`);
  const child = half && [...half.children].find((block) => block.contains(first));
  const counterpart = other && (other.children[[...half.children].indexOf(child)] || other.lastElementChild);
  return () => {
    const shown = [first, counterpart, first.closest("section")].find((block) => block?.getClientRects().length);
    if (shown) scrollBy({ top: shown.getBoundingClientRect().top - offset, behavior: "instant" });
  };
}

function choose(language) {
  const keepPlace = scrollY > 0 ? place() : () => {};
  root.dataset.language = language;
  remember("language", language);
  const address = new URL(location);
  address.searchParams.set("lang", language);
  history.replaceState(history.state, "", address);
  speak();
  keepPlace();
}

for (const button of document.querySelectorAll(".languages [data-language]"))
  button.addEventListener("click", () => choose(button.dataset.language));

// A page that the browser kept while the reader chose another language elsewhere follows that choice.
addEventListener("pageshow", (event) => {
  let saved = null;
  try { saved = localStorage.getItem("language"); } catch { /* nothing was remembered */ }
  if (event.persisted && said[saved] && saved !== root.dataset.language) choose(saved);
});

remember("language", root.dataset.language);
const asked = new URL(location);
if (asked.searchParams.has("lang") && asked.searchParams.get("lang") !== root.dataset.language) {
  asked.searchParams.set("lang", root.dataset.language);
  history.replaceState(history.state, "", asked);
}
speak();

// --- Colours ----------------------------------------------------------------------------------------------------

document.getElementById("colours").addEventListener("click", () => {
  const order = ["system", "light", "dark"];
  const next = order[(order.indexOf(root.dataset.colours || "system") + 1) % order.length];
  if (next === "system") delete root.dataset.colours;
  else root.dataset.colours = next;
  remember("colours", next);
});

// --- Chapters on a phone ----------------------------------------------------------------------------------------

const navigation = document.getElementById("navigation"), opener = document.getElementById("open-navigation");
opener.setAttribute("role", "button");
opener.setAttribute("aria-expanded", "false");
opener.setAttribute("aria-controls", "navigation");
function drawer(open) {
  navigation.classList.toggle("open", open);
  opener.setAttribute("aria-expanded", String(open));
  (open ? document.getElementById("close-navigation") : opener).focus();
}
opener.addEventListener("click", (event) => { event.preventDefault(); drawer(!navigation.classList.contains("open")); });
opener.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); drawer(true); } });
document.getElementById("close-navigation").addEventListener("click", () => drawer(false));
addEventListener("keydown", (event) => { if (event.key === "Escape" && navigation.classList.contains("open")) drawer(false); });
addEventListener("click", (event) => {
  if (navigation.classList.contains("open") && !navigation.contains(event.target) && !opener.contains(event.target)) drawer(false);
});

const current = navigation.querySelector("[aria-current]");
if (current) navigation.scrollTop = current.offsetTop - navigation.clientHeight / 2;

// --- Code, wide boxes, contents ---------------------------------------------------------------------------------

for (const block of document.querySelectorAll(".cell_input div.highlight, article div.highlight")) {
  if (block.closest(".cell_output") || block.querySelector(".copy")) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button copy";
  const label = (en, zh) => { button.innerHTML = `<span lang="en">${en}</span><span class="sep"> · </span><span lang="zh">${zh}</span>`; };
  label("Copy", "复制");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("pre").textContent);
    label("Copied", "已复制");
    setTimeout(label, 1500, "Copy", "复制");
  });
  block.append(button);
}

// What scrolls sideways can be reached with the keyboard.
const scrollers = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("pre, .math-block, .table-box, .cell_output > div")) scrollers.observe(box);

const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]));
if (links.size) {
  const seen = new IntersectionObserver(() => {
    const above = [...links.keys()].filter((id) => document.getElementById(id)?.getBoundingClientRect().top < 160);
    const here = links.get(above.at(-1));
    for (const link of links.values()) link === here ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current");
  }, { rootMargin: "-150px 0px -60% 0px" });
  for (const id of links.keys()) { const section = document.getElementById(id); if (section) seen.observe(section); }
}
