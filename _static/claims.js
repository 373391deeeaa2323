// The table of claims can be sorted by the columns that say so; without this script it is a plain table.
{
const table = document.getElementById("claims-table"), body = table?.tBodies[0];
for (const head of table?.querySelectorAll("th[data-sort]") || []) {
  const button = document.createElement("button"), key = head.dataset.sort;
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  head.setAttribute("aria-sort", key === "claim" ? "ascending" : "none");
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    // The sort is stable: sorted by verdict and then by chapter, each chapter has its verdicts in order.
    const value = (row) => Number(row.dataset[key]) * (down ? -1 : 1);
    body.append(...[...body.rows].sort((one, other) => value(one) - value(other)));
  });
}
}
