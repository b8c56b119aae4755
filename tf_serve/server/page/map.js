// The film and its evidence on canvases: the colours and the scale are those of tf_serve/predict.py.

const FOR = [230, 97, 1]; // told apart from the blue with any of the usual colour blindnesses
const AGAINST = [33, 102, 172];
const FAINTEST_SCALE = 1; // logits; a map that is weak everywhere is not blown up to full colour
const LONG_SIDE = 1120; // pixels of the canvas
const MAP_SIDE = 280; // pixels that the 7 x 7 map is stretched to before the canvas smooths it
const HALF = 0.5; // share of the positive evidence that the outline encloses
const LINE = 1 / 280; // of the canvas's long side
const EDGE = 0.1; // of a film's width and height, on each side: 3 % of the lungs of 275 films with masks (docs/page.md)

export const WHOLE = { zoom: 1, x: 0.5, y: 0.5 }; // what of a film is shown: its middle, as fractions of the film

// Give a canvas the shape of a film; it is empty then.
export function shape(canvas, film, longSide = LONG_SIDE) {
  const factor = longSide / Math.max(film.width, film.height);
  canvas.width = Math.max(1, Math.round(film.width * factor));
  canvas.height = Math.max(1, Math.round(film.height * factor));
}

export function paintFilm(canvas, film, shown = WHOLE) {
  const pen = placed(canvas, shown);
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, canvas.width, canvas.height); // black under a film with transparency, as the server sees it
  pen.drawImage(film, 0, 0, canvas.width, canvas.height);
}

// Draw evidence over the film alone; strength 0..1 is that of the line, or of the strongest cell's colour.
export function paintEvidence(canvas, film, map, { style, strength }, shown = WHOLE) {
  const pen = placed(canvas, shown);
  if (style === "colours") pen.drawImage(stretch(map, film, strength), 0, 0, canvas.width, canvas.height);
  if (style === "outline") outline(pen, canvas, film, map, strength, shown.zoom);
}

function placed(canvas, { zoom, x, y }) {
  const pen = canvas.getContext("2d");
  const [width, height] = [canvas.width, canvas.height];
  pen.setTransform(zoom, 0, 0, zoom, width * (0.5 - zoom * x), height * (0.5 - zoom * y));
  return pen;
}

// Every cell of the map that reaches into the film, as fractions of the film: the map covers it padded to a square.
export function cellsOn(map, { width, height }) {
  const [side, count] = [Math.max(width, height), map.length];
  const along = (cell, length) => {
    const start = Math.floor((side - length) / 2); // as film_box of tf_serve/predict.py
    return [0, 1].map((end) => Math.min(1, Math.max(0, (((cell + end) * side) / count - start) / length)));
  };
  const cells = map.flatMap((row, y) => row.map((value, x) => ({ value, x, y, across: along(x, width), down: along(y, height) })));
  return cells.map((cell) => ({ ...cell, area: span(cell.across) * span(cell.down) })).filter(({ area }) => area > 0);
}

const span = ([from, to]) => Math.max(0, to - from);
const positive = ({ value, area }) => Math.max(0, value) * area;
const total = (cells) => cells.reduce((sum, cell) => sum + positive(cell), 0);

// The fewest cells that carry half of the positive evidence on the film, the strongest first.
export function strongest(cells) {
  let left = HALF * total(cells);
  return cells
    .filter(({ value }) => value > 0)
    .sort((one, other) => other.value - one.value)
    .filter((cell) => {
      const wanted = left > 0;
      left -= positive(cell);
      return wanted;
    });
}

// Shares of the positive evidence: in the outer tenth of the film, and beside the film in what pads it to a square.
export function shares(map, film) {
  const cells = cellsOn(map, film);
  const inner = ([from, to]) => [Math.max(from, EDGE), Math.min(to, 1 - EDGE)];
  const central = cells.map((cell) => ({ ...cell, area: span(inner(cell.across)) * span(inner(cell.down)) }));
  const square = map.flat().reduce((sum, value) => sum + Math.max(0, value), 0) / map.length ** 2; // over all of it
  if (square === 0) return { edge: null, beside: null };
  const onFilm = (total(cells) * film.width * film.height) / Math.max(film.width, film.height) ** 2;
  return { edge: total(cells) > 0 ? 1 - total(central) / total(cells) : null, beside: 1 - onFilm / square };
}

// Lines where a cell inside has no neighbour inside; dashed where the evidence is weak everywhere.
function outline(pen, canvas, film, map, strength, zoom) {
  const cells = strongest(cellsOn(map, film));
  const inside = new Set(cells.map(({ x, y }) => `${x} ${y}`));
  const width = (LINE * Math.max(canvas.width, canvas.height)) / zoom;
  const keep = (place, length) => Math.min(length - width, Math.max(width, place * length)); // a line at the film's border is whole
  const path = new Path2D();
  for (const { x, y, across, down } of cells) {
    const [left, right] = across.map((place) => keep(place, canvas.width));
    const [top, bottom] = down.map((place) => keep(place, canvas.height));
    const sides = [[x - 1, y, left, top, left, bottom], [x + 1, y, right, top, right, bottom], [x, y - 1, left, top, right, top], [x, y + 1, left, bottom, right, bottom]];
    for (const [column, row, fromX, fromY, toX, toY] of sides) {
      if (inside.has(`${column} ${row}`)) continue;
      path.moveTo(fromX, fromY);
      path.lineTo(toX, toY);
    }
  }
  pen.globalAlpha = strength;
  pen.lineCap = "square";
  pen.setLineDash(isWeak(map) ? [3 * width, 3 * width] : []);
  for (const [colour, times] of [["#000", 2.4], [`rgb(${FOR})`, 1.2]]) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: times * width }); // a dark seam, to be seen on light films
    pen.stroke(path);
  }
  pen.globalAlpha = 1;
}

export const isWeak = (map) => Math.max(...map.flat().map(Math.abs)) < FAINTEST_SCALE;

// Bilinear, over the film alone.
function stretch(map, film, opacity) {
  const side = Math.max(film.width, film.height);
  const [width, height] = [film.width, film.height].map((length) => Math.max(1, Math.round((MAP_SIDE * length) / side)));
  const picture = new ImageData(width, height);
  const scale = Math.max(FAINTEST_SCALE, ...map.flat().map(Math.abs));
  const cell = (place, length) => ((place + 0.5 - length / 2) / MAP_SIDE + 0.5) * map.length;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = sample(map, cell(x, width), cell(y, height));
      const colour = value > 0 ? FOR : AGAINST;
      const alpha = (255 * opacity * Math.abs(value)) / scale;
      picture.data.set([...colour, alpha], 4 * (y * width + x));
    }
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

function sample(map, x, y) {
  const last = map.length - 1;
  const [column, row] = [x, y].map((place) => Math.min(last, Math.max(0, place - 0.5)));
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [right, bottom] = [Math.min(last, left + 1), Math.min(last, top + 1)];
  const [u, v] = [column - left, row - top];
  const upper = map[top][left] * (1 - u) + map[top][right] * u;
  const lower = map[bottom][left] * (1 - u) + map[bottom][right] * u;
  return upper * (1 - v) + lower * v;
}
