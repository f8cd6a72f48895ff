// Dragging the map. plotly.js draws every point at every move of the mouse: 0.4 s for 100,000 points where no graphics card
// helps. So it is shown only where the mouse ends; until then the picture as it is goes along with the pointer.

let grip = null; // where the mouse was pressed, and its newest move

function shiftMap(toRight, down) {
  for (const layer of mapBox.querySelectorAll(".main-svg, .gl-container"))
    layer.style.transform = toRight || down ? `translate(${toRight}px, ${down}px)` : "";
}

mapBox.addEventListener(
  "mousedown",
  (event) => {
    const isLeft = event.button === 0 && !event.shiftKey; // with Shift plotly.js zooms into a rectangle
    const pans = isLeft && event.target.matches(".nsewdrag") && mapBox.layout.dragmode === "pan";
    grip = pans ? { start: event, move: null } : null;
  },
  true,
);

// At the window, ahead of plotly.js, which listens below it.
window.addEventListener(
  "mousemove",
  (event) => {
    if (!grip || !event.isTrusted) return;
    event.stopPropagation();
    grip.move = event;
    shiftMap(event.clientX - grip.start.clientX, event.clientY - grip.start.clientY);
  },
  true,
);
window.addEventListener(
  "mouseup",
  (event) => {
    const move = grip?.move;
    grip = null;
    if (!move) return;
    shiftMap(0, 0);
    event.target.dispatchEvent(new MouseEvent("mousemove", move));
  },
  true,
);
