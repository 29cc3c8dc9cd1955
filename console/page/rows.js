/** A list on the page that is kept in step with data. */

/**
 * @template Item
 * @typedef {object} Row
 * @property {HTMLElement} node
 * @property {(item: Item) => void} update show another state of the item
 */

/**
 * Keeps the children of a parent in step with a list of items. An item that is the same object costs nothing; another
 * object with the same key updates the row in place, so that it keeps the focus.
 * @template {object} Item
 */
export class Rows {
  /** @type {Map<unknown, {item: Item, row: Row<Item>}>} */
  #drawn = new Map();
  #parent;
  #keyOf;
  #make;

  /**
   * @param {HTMLElement} parent
   * @param {(item: Item) => unknown} keyOf
   * @param {(item: Item) => Row<Item>} make
   */
  constructor(parent, keyOf, make) {
    this.#parent = parent;
    this.#keyOf = keyOf;
    this.#make = make;
  }

  /** @param {readonly Item[]} items */
  show(items) {
    const next = new Map(items.map((item) => [this.#keyOf(item), this.#drawnAs(item)]));
    for (const [key, { row }] of this.#drawn) {
      if (!next.has(key)) row.node.remove();
    }
    this.#drawn = next;
    let place = this.#parent.firstChild;
    for (const { row } of next.values()) {
      // If the row is the next but one, only the row before it moves, and finds its place later.
      if (row.node === place || row.node === place?.nextSibling) place = row.node.nextSibling;
      else this.#parent.insertBefore(row.node, place);
    }
  }

  /**
   * Return an item with its row, which is up to date.
   * @param {Item} item
   */
  #drawnAs(item) {
    const drawn = this.#drawn.get(this.#keyOf(item));
    if (drawn === undefined) return { item, row: this.#make(item) };
    if (drawn.item !== item) drawn.row.update(item);
    return { item, row: drawn.row };
  }
}
