// The tree: made as it is opened, some entries at a time.

const FIRST = 25; // then a hundred more at a time
const PAGE = 100;
const FEW = 8; // items that are listed at once, whatever their codes

// Put entries into a list, so many at a time; the function returned makes the list as long as an index needs.
function fill(list, nodes, make) {
  const more = element("button", { type: "button" });
  const last = element("li", { class: "more" }, more);
  let end = 0;
  const show = (wanted) => {
    const from = end;
    end = Math.min(nodes.length, Math.max(end, wanted));
    list.append(...nodes.slice(from, end).map(make));
    if (end < nodes.length) {
      more.textContent = `${number(Math.min(PAGE, nodes.length - end))} more of ${number(nodes.length)}`;
      list.append(last);
    } else {
      last.remove();
    }
  };
  more.addEventListener("click", () => {
    const from = end;
    show(end + PAGE);
    (list.children[from].querySelector("summary") || list.children[from]).focus();
  });
  show(FIRST);
  return (index) => show(index + 1);
}

function itemEntry(row, isAlone) {
  const entry = element("li", { class: "item", tabindex: "-1" }, element("bdi", {}, nameOf(row)));
  if (!isAlone) entry.prepend(element("code", {}, prefixOf(row, levels)), " ");
  if (labelOf) entry.append(" ", element("bdi", { class: "label" }, isMissing(row) ? "no label" : short(labelled(row), 40)));
  entry.dataset.row = row;
  return entry;
}

// A few names, from all over the range, each in its own direction of writing.
function sample({ low, high }) {
  const n = Math.min(3, high - low);
  const names = Array.from({ length: n }, (_, i) => nameOf(low + Math.floor(((2 * i + 1) * (high - low)) / (2 * n))));
  return [...new Set(names)].flatMap((name, i) => [i ? " · " : "", element("bdi", {}, short(name, 56))]);
}

function prefixEntry(node, largest) {
  const count = countOf(node);
  if (count === 1) {
    const entry = itemEntry(node.low, false);
    entry.open = () => () => entry;
    return entry;
  }
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", count / largest);
  const summary = element(
    "summary", {},
    element("code", {}, prefixOf(node.low, node.depth)), " ",
    element("span", { class: "count" }, items(count), bar), " ",
  );
  const label = labelOf && commonestLabel(node);
  if (label) {
    summary.append(element("bdi", { class: "label" }, `${short(label.name, 40)} ${Math.round(100 * label.share)} %`), " ");
  }
  summary.append(element("span", { class: "sample" }, ...sample(node)));
  const details = element("details", {}, summary);
  const entry = element("li", {}, details);
  let show = null;
  const open = () => {
    if (!show) show = inside(node, details);
    details.open = true;
    return show;
  };
  summary.addEventListener("click", () => show || (show = inside(node, details))); // before it opens, and by any key
  entry.open = open;
  return entry;
}

// What is under a prefix: longer ones, or its items.
function inside(node, place) {
  if (node.depth) {
    const button = element("button", { type: "button", class: "on-map" }, "Show on the map");
    button.addEventListener("click", () => showPrefix(node, true));
    place.append(button);
    const missing = countOf(node) - (node.high - node.low);
    if (missing) place.append(element("span", { class: "small" }, ` ${items(missing)} of these are not in this file`));
  }
  const list = element("ul");
  place.append(list);
  if (node.depth === levels || node.high - node.low <= FEW) {
    const rowsHere = Array.from({ length: node.high - node.low }, (_, i) => node.low + i);
    const show = fill(list, rowsHere, (row) => itemEntry(row, node.depth === levels));
    return (row) => {
      show(row - node.low);
      return list.children[row - node.low];
    };
  }
  const children = childrenOf(node);
  const show = fill(list, children, (child) => prefixEntry(child, countOf(children[0])));
  return (row) => {
    const at = children.findIndex((child) => child.low <= row && row < child.high);
    show(at);
    return list.children[at].open()(row);
  };
}

const showInTree = inside(root, document.getElementById("root"));

// Open all that is above an item, and go to it.
function reveal(row, scroll = true) {
  const entry = showInTree(row);
  document.querySelectorAll(".item.current").forEach((other) => other.classList.remove("current"));
  entry.classList.add("current");
  if (scroll) {
    entry.scrollIntoView({ block: "center" });
    entry.focus({ preventScroll: true });
  }
}
