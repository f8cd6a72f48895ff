// Items by a part of their name.

const FOUND = 20;
const findBox = document.getElementById("find");
let lowered = null;
let waiting = 0;

function find() {
  const wanted = findBox.value.trim().toLowerCase();
  lowered = lowered || Array.from(rows, (_, row) => nameOf(row).toLowerCase());
  const hits = [];
  let count = 0;
  for (let row = 0; wanted && row < lowered.length; row++) {
    if (lowered[row].includes(wanted) && ++count <= FOUND) hits.push(row);
  }
  document.getElementById("find-state").textContent = wanted
    ? `${items(count)} found${count > FOUND ? `, the first ${FOUND} are listed` : ""}`
    : "";
  const entries = hits.map((row) => {
    const button = element("button", { type: "button" }, element("code", {}, prefixOf(row, levels)), " ", element("bdi", {}, nameOf(row)));
    button.addEventListener("click", () => {
      showPrefix(nodeOf(row, levels));
      reveal(row);
    });
    return element("li", {}, button);
  });
  document.getElementById("found").replaceChildren(...entries);
}

findBox.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, 150);
});
document.documentElement.dataset.ready = "yes";
