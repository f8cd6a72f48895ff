"""Reports in a real browser: Debian's chromium, headless, without a network."""

import itertools
import re
import shutil
import time

import numpy as np
import pytest
from semantic_id import RQKMeans, report
from test_report import NASTY

playwright = pytest.importorskip("playwright.sync_api")
WIDTHS = {"laptop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium") or pytest.skip("chromium is not there")
    # Software WebGL has to be asked for; a container has no sandbox.
    options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Write a report and open it; at the end there must have been no word on the console and no request."""
    contexts, complaints, requests = [], [], []

    def open_page(*args, width=1280, scheme="light", **kwargs):
        path = tmp_path / "report.html"
        if args:
            report(*args[:2], path, *args[2:], **kwargs)
        phone = width < 500
        context = chromium.new_context(
            viewport={"width": width, "height": 850},
            color_scheme=scheme,
            has_touch=phone,
            is_mobile=phone,
            offline=True,
        )
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data", "blob"}
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


@pytest.fixture(scope="module")
def items():
    return [f"item {i}" for i in range(2000)]


@pytest.fixture
def page(opened, blobs, model, items):
    return opened(blobs, model, items, [f"kind {int(x > 0)}" for x in blobs[:, 0]])


def point_at(page, name):
    """Return where on the screen the map has the item that is called so."""
    return page.evaluate(
        """(name) => {
            const box = document.getElementById("map-chart");
            box.scrollIntoView();
            const data = JSON.parse(document.getElementById("data").textContent);
            const row = data.items.indexOf(name);
            const [x, y] = [box.data[0].x[row], box.data[0].y[row]];
            const { xaxis, yaxis } = box._fullLayout;
            const at = box.getBoundingClientRect();
            return [at.left + xaxis._offset + xaxis.d2p(x), at.top + yaxis._offset + yaxis.d2p(y)];
        }""",
        name,
    )


def wait_until(page, condition):
    page.wait_for_function(condition, timeout=15_000)


# --- what one sees ---


def test_it_opens(page):
    assert page.title() == "Semantic ids"
    for name in ("In short", "How codes are used", "Map of the embeddings", "Tree of prefixes", "Shared ids"):
        assert page.get_by_role("heading", name=name, exact=True).is_visible()
    assert page.locator(".card").count() == 7
    assert page.locator("#level-charts .main-svg").count() >= 3
    assert page.locator("#bucket-chart .bars path").count() > 3
    assert page.locator("#map-chart canvas").count() >= 1


def test_the_map_has_points(page):
    """Of many colours, where WebGL drew them."""
    page.locator("#map-chart").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    seen = page.evaluate("""() => {
        const canvas = document.querySelector("#map-chart canvas.gl-canvas-context");
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const context = copy.getContext("2d");
        context.drawImage(canvas, 0, 0);
        const pixels = new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer);
        const counts = new Map();
        for (const pixel of pixels) if (pixel >>> 24 > 200) counts.set(pixel, (counts.get(pixel) || 0) + 1);
        return [...counts.values()].filter((n) => n > 100).length;
    }""")
    assert seen >= 8


def test_hover(page, blobs, model):
    codes = model.encode(blobs)
    alone = int(blobs.sum(axis=1).argmax())
    at = point_at(page, f"item {alone}")
    page.mouse.move(at[0] - 200, at[1])
    page.mouse.move(*at, steps=3)
    for _ in range(50):  # the pointer came past others, which the page may still be telling of
        page.wait_for_selector("#tip:not([hidden])")
        said = page.locator("#tip").inner_text().split("\n")
        away = np.hypot(*np.subtract(at, point_at(page, said[0])))
        if away < 15:
            break
        page.wait_for_timeout(100)
    assert away < 15  # this item, or one that lies on it
    row = int(said[0].removeprefix("item "))
    assert said[1] == "-".join(map(str, codes[row]))
    assert said[2] == f"kind {int(blobs[row, 0] > 0)}"
    same = int((codes == codes[row]).all(axis=1).sum())
    assert said[3] == ("an id of its own" if same == 1 else f"{same} items on this id")
    page.mouse.move(5, 5)
    page.wait_for_selector("#tip", state="hidden")


def test_a_click_on_the_map_shows_the_first_code(page, blobs, model):
    at = point_at(page, "item 3")
    page.mouse.click(*at)
    wait_until(page, "() => document.getElementById('map-state').textContent")
    state = page.locator("#map-state").inner_text()
    row = int(page.locator("#tip b").inner_text().removeprefix("item "))
    codes = model.encode(blobs)
    first = codes[row, 0]
    assert state == f"{first}: {(codes[:, 0] == first).sum()} items"
    assert page.locator(".item.current").inner_text().endswith(f"item {row} kind {int(blobs[row, 0] > 0)}")


def test_the_tree_opens_and_has_every_item_once(opened, blobs, model, items):
    page = opened(blobs[:300], model, items[:300])
    codes = model.encode(blobs[:300])
    closed = page.locator("#root details:not([open]) > summary")
    while closed.count():
        closed.first.click()
    rows = page.locator("#root .item").evaluate_all("list => list.map(item => item.lastChild.textContent.trim())")
    assert sorted(rows) == sorted(items[:300])
    told = {
        text.split()[0]: int(text.split()[1])
        for text in page.locator("#root summary").evaluate_all("list => list.map(entry => entry.textContent)")
    }
    assert len(told) > 20
    for prefix, count in told.items():
        wanted = list(map(int, prefix.split("-")))
        assert count == (codes[:, : len(wanted)] == wanted).all(axis=1).sum()
    first = page.locator("#root > ul > li > details > summary").evaluate_all("l => l.map(s => s.textContent)")
    counts = [int(text.split()[1]) for text in first]
    assert counts == sorted(counts, reverse=True)


def test_long_lists_come_in_pieces(opened):
    rng = np.random.default_rng(0)
    page = opened(rng.normal(size=(3000, 2)), rng.integers(0, 250, (3000, 1)))
    entries = page.locator("#root > ul > li:not(.more)")
    assert entries.count() == 25
    page.get_by_role("button", name="100 more of 250").press("Enter")
    assert entries.count() == 125
    at = (
        "[...document.querySelectorAll('#root > ul > li')].findIndex((entry) => entry.contains(document.activeElement))"
    )
    assert page.evaluate(at) == 25
    page.get_by_role("button", name="100 more of 250").click()
    page.get_by_role("button", name="25 more of 250").click()
    assert entries.count() == 250
    assert page.locator("#root > ul > li.more").count() == 0


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_names_on_the_map_do_not_overlap(opened, width):
    rng = np.random.default_rng(0)
    x, words = rng.normal(size=(3000, 2)), ["name"] * 40 + ["<i>a rather long name</i>"] * 20
    codes = [[f"{i % 60} {words[i % 60]}"] for i in range(3000)]
    for given in (rng.integers(0, 250, (3000, 1)), codes):
        page = opened(x + 2 * (np.arange(3000) % 60)[:, None] / 60, given, width=width)
        boxes = [each.bounding_box() for each in page.locator("#map-chart .annotation .bg").all()]
        assert 2 <= len(boxes) <= 24
        page.set_viewport_size({"width": width - 40, "height": 700})
        page.wait_for_timeout(300)
        boxes = [boxes, [each.bounding_box() for each in page.locator("#map-chart .annotation .bg").all()]]
        for a, b in itertools.chain(*(itertools.combinations(each, 2) for each in boxes)):
            apart = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            assert apart or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]


def test_a_prefix_on_the_map(page, blobs, model):
    codes = model.encode(blobs)
    page.locator("#root summary").first.click()
    page.get_by_role("button", name="Show on the map").first.click()
    first = int(page.locator("#prefix").input_value())
    want = f"{first}: {(codes[:, 0] == first).sum()} items"
    assert page.locator("#map-state").inner_text() == want
    marked = "document.getElementById('map-chart').data.at(-1).x.length"
    assert page.evaluate(marked) == (codes[:, 0] == first).sum()
    page.locator("#prefix").fill(f"{first}-{codes[codes[:, 0] == first][0, 1]}")
    assert page.evaluate(marked) == (codes[:, :2] == codes[codes[:, 0] == first][0, :2]).all(axis=1).sum()
    page.locator("#prefix").fill("77-1")
    assert page.locator("#map-state").inner_text() == "no item here has this prefix"
    page.get_by_role("button", name="Show all").click()
    assert page.evaluate(marked) == 0
    assert page.locator("#prefix").input_value() == ""


def test_find_an_item(page, blobs, model):
    page.locator("#find").fill("ITEM 123")
    wait_until(page, "() => document.getElementById('find-state').textContent")
    assert page.locator("#find-state").inner_text() == "11 items found"  # 123, 1230 to 1239
    page.locator("#found button", has_text=re.compile(r"item 1234$")).click()
    codes = model.encode(blobs)
    assert "item 1234" in page.locator(".item.current").inner_text()
    assert page.evaluate("document.activeElement === document.querySelector('.item.current')")
    assert page.locator("#map-state").inner_text().startswith("-".join(map(str, codes[1234])) + ":")
    page.locator("#find").fill("nothing")
    wait_until(page, "() => document.getElementById('find-state').textContent.startsWith('0')")
    assert page.locator("#found li").count() == 0


# --- for everybody ---


def test_the_keyboard_reaches_everything(page):
    """Through all of the page by Tab, opening the tree on the way, and out of it again."""
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        focused = page.evaluate("""() => {
            const at = document.activeElement;
            const style = getComputedStyle(at);
            const name = at.id || at.textContent.trim().slice(0, 30);
            return at === document.body ? null : [at.tagName, name, style.outlineStyle];
        }""")
        if focused is None:
            break
        reached.append(focused)
        if focused[0] == "SUMMARY" and sum(name == "SUMMARY" for name, *_ in reached) in (2, 3):
            page.keyboard.press("Enter")
    names = [name for _, name, _ in reached]
    assert names[:6] == ["Skip to the figures", "Figures", "Levels", "Map", "Tree", "Shared ids"]
    for name in ("All figures", "prefix", "clear", "find", "Show on the map"):
        assert name in names
    order = [names.index(name) for name in ("All figures", "prefix", "clear", "find", "Show on the map")]
    assert order == sorted(order)
    assert len(reached) < 200, "the focus went round or was held"
    assert page.locator("#root details[open]").count() == 2
    assert all(outline != "none" for tag, _, outline in reached if tag in ("A", "SUMMARY", "BUTTON", "INPUT")), reached


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility_by_axe(opened, blobs, items, width, scheme):
    """Names, roles, order of headings, contrast and more, as far as a program can tell (WCAG 2 A and AA)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    uneven = np.minimum(RQKMeans(2, 20, random_state=0).fit_encode(blobs), 2)
    page = opened(blobs, uneven, items, ["a", None] * 1000, width=width, scheme=scheme)
    page.locator("#root summary").first.click()
    page.locator("#find").fill("item 1")
    wait_until(page, "() => document.getElementById('found').children.length")
    for summary in page.locator("#figures summary, #shared summary").all():
        summary.click()
    found = axe.run(page).response["violations"]
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in found] == []


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_wider_than_the_screen(opened, blobs, model, width):
    names = [f"item {i} " + "x" * (i % 90) for i in range(2000)]
    uneven = np.minimum(model.encode(blobs), 2)  # with levels to look at
    page = opened(blobs, uneven, names, names, width=width, encoder=model)
    page.locator("#root summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for box in page.locator(".chart .main-svg, #map-chart .main-svg").all():
        assert box.bounding_box()["x"] + box.bounding_box()["width"] <= width


def test_the_map_fills_its_box_at_any_size_of_the_window(page):
    size = (
        "() => { const { width, height } = document.getElementById('map-chart')._fullLayout; return [width, height]; }"
    )
    for width, height in ((900, 700), (400, 3000), (1300, 300), (1280, 850)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(400)
        assert page.evaluate(size) == pytest.approx([min(width - 40, 1080), np.clip(0.7 * height, 360, 640)], abs=20)
        unit = "(() => { const { xaxis, yaxis } = document.getElementById('map-chart')._fullLayout;"
        assert page.evaluate(unit + " return xaxis._m / -yaxis._m; })()") == pytest.approx(1, abs=0.01)


def test_the_axes_of_few_items(opened):
    page = opened([[0.0], [1.0]], [[0], [1]], ["a", "b"], [None, "x"])
    ticks = page.locator("#level-charts .chart").first.locator(".ytick text").all_text_contents()
    assert ticks == ["0", "1"]
    assert page.locator("#bucket-chart .bars text").all_text_contents() == ["100 %"]
    assert page.locator("#bucket-chart .ytick text").all_text_contents() == ["0", "1", "2"]


def test_names_written_from_right_to_left_leave_others_as_they_are(opened):
    names = ["\u202eoverride", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "plain 12"]
    page = opened(np.eye(12), [[0]] * 12, np.repeat(names, 4), ["\u202elabel"] * 12)
    page.locator("#root summary").first.click()
    for name in ("sample", "item"):
        assert set(page.locator(f"#root .{name} bdi").all_text_contents()) >= set(names)
    at = "(name) => [...document.querySelectorAll('#root .sample bdi')].find((e) => e.textContent === name)"
    left = [page.evaluate(f"(name) => ({at})(name).getBoundingClientRect().left", name) for name in names]
    assert left == sorted(left)


def test_dark_and_light(page):
    page.emulate_media(color_scheme="dark")
    body = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(body) == "rgb(19, 24, 30)"
    wait_until(page, "() => document.getElementById('map-chart')._fullLayout.font.color === '#a3aeb9'")
    page.emulate_media(color_scheme="light")
    wait_until(page, "() => document.getElementById('map-chart')._fullLayout.font.color === '#566270'")
    assert page.evaluate(body) == "rgb(252, 252, 251)"


def test_on_paper(opened, blobs, model, items):
    page = opened(blobs, model, items, scheme="dark")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 251)"
    wait_until(page, "() => document.getElementById('map-chart')._fullLayout.font.color === '#566270'")
    assert not page.locator("nav").is_visible()
    wait_until(page, "() => document.getElementById('map-chart')._fullLayout.width <= 720")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert len(page.pdf()) > 50_000


# --- what must not be ---


def test_texts_are_never_html(opened, blobs, model):
    names = [NASTY[i % len(NASTY)] + f" {i}" for i in range(2000)]
    page = opened(blobs, model, names, names, title=NASTY[1])
    page.locator("#root summary").first.click()
    at = point_at(page, " ".join(names[5].split()))
    page.mouse.move(*at, steps=3)
    page.wait_for_selector("#tip:not([hidden])")
    assert page.locator("#tip b").inner_text() in {" ".join(name.split()) for name in names}
    page.locator("#find").fill("<img")
    wait_until(page, "() => document.getElementById('found').children.length")
    assert "<img src=x onerror" in page.locator("#found button").first.inner_text()
    assert page.title() == NASTY[1]
    assert page.locator("img, script:not([id])").count() == 2  # ours
    ids = [[f"<b>{i % 20}", '"><script>boom()</script>'] for i in range(2000)]
    page = opened(blobs, ids)
    page.locator("#root summary").first.click()
    page.locator("#prefix").fill("<b>3")
    assert page.locator("#map-state").inner_text() == "<b>3: 100 items"
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#map-chart .annotation").first.text_content().startswith("<b>")


def test_the_policy_keeps_the_page_off_the_network(chromium, page, tmp_path):
    """Also where a script of somebody else's got in."""
    with chromium.new_context() as context:
        other, stopped = context.new_page(), []
        other.on("requestfailed", lambda request: stopped.append((request.url, request.failure)))
        other.goto((tmp_path / "report.html").as_uri())
        said = other.evaluate("fetch('https://example.org/').then(() => 'loaded', (error) => String(error))")
        assert "Failed to fetch" in said
        other.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://example.org/a.png'}))")
        script = "Object.assign(document.createElement('script'), {textContent: 'window.ran = true'})"
        assert other.evaluate(f"document.body.append({script}), window.ran") is None
        deadline = time.monotonic() + 10
        while not stopped and time.monotonic() < deadline:
            other.wait_for_timeout(50)
        assert stopped == [("https://example.org/a.png", "csp")]


# --- few and many ---


@pytest.mark.parametrize("levels", [1, 2, 9])
def test_few_items_and_any_number_of_levels(opened, levels):
    page = opened([[1.0, 2.0]], [[3] * levels], ["only"], labels=[None])
    assert page.locator("#root .item").inner_text().endswith("only no label")
    at = point_at(page, "only")
    page.mouse.move(at[0] + 2, at[1] + 2, steps=3)
    page.wait_for_selector("#tip:not([hidden])")
    assert page.locator("#tip").inner_text().split("\n") == [
        "only",
        "-".join(["3"] * levels),
        "no label",
        "an id of its own",
    ]


def test_more_items_than_are_shown(opened, blobs, model, items):
    page = opened(blobs, model, items, max_items=100)
    codes = model.encode(blobs)
    entry = page.locator("#root summary").first
    prefix, count = entry.inner_text().split()[:2]
    assert int(count) == (codes[:, 0] == int(prefix)).sum()
    entry.click()
    missing = page.locator("#root details[open] > .small").inner_text()
    assert re.fullmatch(r"\d+ items? of these (is|are) not in this file", missing.strip())


def test_a_drag_moves_the_map_as_far_as_the_mouse(page):
    page.locator("#map-chart").scroll_into_view_if_needed()
    before = np.array(point_at(page, "item 3"))
    box = page.locator("#map-chart").bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    layer = "() => document.querySelector('#map-chart .gl-container').style.transform"
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 100, at[1] - 30, steps=5)
    assert page.evaluate(layer) == "translate(100px, -30px)"
    page.mouse.move(at[0] + 90, at[1] + 20, steps=5)
    page.mouse.up()
    assert page.evaluate(layer) == ""
    assert np.array(point_at(page, "item 3")) - before == pytest.approx([90, 20], abs=1.5)
    assert page.locator("#map-state").inner_text() == ""  # a drag is no click
    page.mouse.move(*at)
    assert page.evaluate(layer) == ""


def test_a_drag_with_shift_zooms_and_moves_nothing(page):
    page.locator("#map-chart").scroll_into_view_if_needed()
    box = page.locator("#map-chart").bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    span = "() => document.getElementById('map-chart')._fullLayout.xaxis.range.reduce((a, b) => b - a)"
    before = page.evaluate(span)
    page.keyboard.down("Shift")
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] + 150, at[1] + 120, steps=5)
    assert page.evaluate("() => document.querySelector('#map-chart .gl-container').style.transform") == ""
    page.mouse.up()
    page.keyboard.up("Shift")
    wait_until(page, f"() => ({span})() < {before / 2}")


def test_a_hundred_thousand_items_stay_fluid(opened):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(64, 8)) * 3
    x = (centres[rng.integers(64, size=100_000)] + rng.normal(size=(100_000, 8))).astype(np.float32)
    model = RQKMeans(3, 64, random_state=0).fit(x[:5000])
    names = [f"item {i} with a name as long as names of items are in shops" for i in range(100_000)]
    page = opened(x, model, names, names, sample_size=10)
    page.locator("#map-chart").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    page.evaluate("""() => {
        window.blocked = [];
        new PerformanceObserver((list) => list.getEntries().forEach((e) => window.blocked.push(e.duration)))
            .observe({ entryTypes: ["longtask"] });
        window.frames_ = [];
        let last = performance.now();
        const frame = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(frame); };
        requestAnimationFrame(frame);
    }""")
    box = page.locator("#map-chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 140, box["y"] + box["height"] / 2)
    page.wait_for_timeout(500)  # the first look for a point sorts them all
    page.evaluate("() => { window.frames_.length = 0; window.blocked.length = 0; }")
    for step in range(40):
        page.mouse.move(box["x"] + box["width"] / 2 - 140 + 7 * step, box["y"] + box["height"] / 2 + step)
    frames = page.evaluate("window.frames_")
    assert page.locator("#tip").is_visible()
    assert np.median(frames) < 50, frames
    assert sum(page.evaluate("window.blocked")) < 1000
    page.mouse.down()
    page.evaluate("() => { window.frames_.length = 0; }")
    for step in range(40):
        page.mouse.move(box["x"] + box["width"] / 2 - 7 * step, box["y"] + box["height"] / 2 - step)
    frames = page.evaluate("window.frames_")
    page.mouse.up()
    assert np.median(frames) < 50, frames
    assert len(frames) >= 10
    start = time.monotonic()
    page.locator("#root summary").first.click()
    page.locator("#root details[open] summary").nth(1).wait_for()
    assert time.monotonic() - start < 5
