// Repairs fields before anything else looks at them: the row's key, its business date and its look-ups are
// made of what is written here.

import { cleanser, optional, required, text, warn, wholeNumber } from "./assay-rules.js";

export const cleansing = cleanser({
  // The columns that are looked at: nothing else is handed over. `required` means that the tenant's events
  // must have the column; in a row it may be null all the same.
  reads: {
    store_id: required(text),
    payment_method: optional(text),
  },
  // What replaces the event's fields of these names, in every row: a value that needs no repair is handed
  // back as it came.
  writes: {
    store_id: text,
    payment_method: text,
  },
  // What can't be repaired. The text is what analysts read, the word before it says what becomes of the
  // row: `warn`, `quarantine`, `drop` or `fail`.
  rules: {
    payment_method_too_long: warn("The way to pay is longer than any there is."),
  },
  // `params = { longest_payment_method = 12 }` in the tenant's TOML.
  params: {
    longest_payment_method: wholeNumber(20n),
  },
  cleanse({ store_id, payment_method: method }, params, refuse) {
    if (method !== null && [...method].length > params.longest_payment_method) {
      refuse("payment_method_too_long", `payment_method is ${JSON.stringify(method)}`);
    }
    return { store_id: store_id?.trim().toUpperCase(), payment_method: method?.trim() };
  },
});
