// Search in both languages from files of this site: searchindex.js calls Search.setIndex, language_data.js brings
// splitQuery, Stemmer and stopwords.
{
const LIMIT = 30;
const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const spans = (en, zh) => `<span lang="en">${en}</span><span class="sep" aria-hidden="true"> · </span><span lang="zh">${zh}</span>`;
const list = (value) => (value === undefined ? [] : [].concat(value));

// Every word of the query must occur on the page, whole or as the beginning of a word; titles count more.
function find(index, words) {
  let found = null;
  for (const word of words) {
    const scores = new Map();
    for (const [terms, weight] of [[index.terms, 1], [index.titleterms, 8]])
      for (const term of Object.keys(terms))
        if (term === word || (word.length > 2 && term.startsWith(word)))
          for (const page of list(terms[term])) scores.set(page, (scores.get(page) || 0) + (term === word ? 2 : 1) * weight);
    found = found === null ? scores : new Map([...found].filter(([page]) => scores.has(page)).map(([page, score]) => [page, score + scores.get(page)]));
  }
  return [...(found || [])].sort((a, b) => b[1] - a[1]).slice(0, LIMIT).map(([page]) => page);
}

// The passage around the first hit, in the language that the reader chose, or in that of the query.
async function passage(address, query, words) {
  const response = await fetch(address);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const language = root.dataset.language === "both" ? (/\p{Script=Han}/u.test(query) ? "zh" : "en") : root.dataset.language;
  const other = language === "en" ? "zh" : "en";
  const aside = `h1, .headerlink, .sep, pre, style, script, .math-block, [lang="${other}"]`;
  page.querySelectorAll(`article :is(${aside})`).forEach((element) => element.remove());
  page.querySelectorAll("article .katex").forEach((formula) => formula.replaceWith(formula.querySelector(".katex-html").textContent));
  const text = page.querySelector("article").textContent.replace(/\s+/g, " ");
  const pattern = new RegExp([query, ...words].map(escape).join("|"), "giu");
  const at = [...text.matchAll(new RegExp(escape(query), "giu"))][0]?.index ?? text.search(pattern);
  const start = at > 60 ? at - 60 + text.slice(at - 60, at).search(/[\s\p{Script=Han}]/u) : 0;
  const excerpt = text.slice(start, start + 180);
  const paragraph = document.createElement("p");
  if (start > 0) paragraph.append("… ");
  let done = 0;
  for (const hit of excerpt.matchAll(pattern)) {
    paragraph.append(excerpt.slice(done, hit.index), Object.assign(document.createElement("mark"), { textContent: hit[0] }));
    done = hit.index + hit[0].length;
  }
  paragraph.append(`${excerpt.slice(done)} …`);
  paragraph.lang = language;
  return paragraph;
}

let index = null;
const field = document.getElementById("query"), results = document.getElementById("results"), count = document.getElementById("found");

function search() {
  const query = field.value.trim();
  results.replaceChildren();
  count.replaceChildren();
  if (!index || !query) return;
  const stemmer = new Stemmer();
  const said = splitQuery(query.toLowerCase()).filter((word) => !stopwords.includes(word));
  const pages = find(index, said.map((word) => (/^[\x00-\x7f]+$/.test(word) ? stemmer.stemWord(word) : word)));
  count.innerHTML = pages.length
    ? spans(pages.length === 1 ? "1 page found." : `${pages.length} pages found.`, `找到 ${pages.length} 个页面。`)
    : spans("Nothing found. Try fewer or other words.", "没有找到。请减少词语，或换个说法。");
  for (const page of pages) {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = `${root.dataset.content_root}${index.docnames[page]}.html`;
    link.innerHTML = index.titles[page]; // written by the build, in both languages
    item.append(link);
    results.append(item);
    passage(link.href, query, said).then((text) => item.append(text)).catch(() => { /* the title alone still leads there */ });
  }
}

window.Search = { setIndex(loaded) { index = loaded; search(); } };
field.value = new URLSearchParams(location.search).get("q") || "";
field.form.addEventListener("submit", (event) => {
  event.preventDefault();
  const address = new URL(location);
  address.searchParams.set("q", field.value);
  history.replaceState(history.state, "", address);
  search();
});
document.addEventListener("language", search);
}
