// The elements of the document by their ids: `zoom-in` is parts.zoomIn.
export function parts(document) {
  const name = (id) => id.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
  const found = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [name(element.id), element]));
  return { ...found, slider: found.frame };
}
