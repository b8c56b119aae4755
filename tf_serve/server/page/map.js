// The film and its evidence on a canvas, in the colours and the scale of tf_serve/predict.py.

const FOR = [230, 97, 1]; // told apart from the blue with any of the usual colour blindnesses
const AGAINST = [33, 102, 172];
const FAINTEST_SCALE = 1; // logits; a map that is weak everywhere is not blown up to full colour
const LONG_SIDE = 1120; // pixels of the canvas
const MAP_SIDE = 280; // pixels that the 7 x 7 map is stretched to before the canvas smooths it

// Draw a film, and over it its evidence where it has any; opacity 0..1 is that of the strongest cell.
export function paint(canvas, film, evidence, opacity, longSide = LONG_SIDE) {
  const factor = longSide / Math.max(film.width, film.height);
  canvas.width = Math.max(1, Math.round(film.width * factor));
  canvas.height = Math.max(1, Math.round(film.height * factor));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, canvas.width, canvas.height); // black under a film with transparency, as the server sees it
  pen.drawImage(film, 0, 0, canvas.width, canvas.height);
  if (evidence && opacity > 0) pen.drawImage(stretch(evidence, film, opacity), 0, 0, canvas.width, canvas.height);
}

// Bilinear, over the film alone: the map covers the film padded to a square.
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
