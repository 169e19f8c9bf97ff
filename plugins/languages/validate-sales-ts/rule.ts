// Which sales are valid: the rule of ../../validate-sales in TypeScript, held to the same cases.

import {
  amount,
  decimal,
  flag,
  integer,
  lookUp,
  moment,
  money,
  optional,
  quarantine,
  required,
  text,
  timesRate,
  timestamp,
  validator,
  warn,
  wholeNumber,
  words,
  type Params,
  type Refuse,
  type Row,
} from "./assay-rules.js";
import { currencies } from "./currencies.ts";

const HUNDRED = 100_00n;

const reads = {
  quantity: required(integer),
  unit_price: required(decimal(2)),
  discount_percent: optional(decimal(2)),
  timestamp: optional(timestamp),
  currency: optional(text),
  payment_method: optional(text),
  kind: optional(text, "type"),
  now: required(timestamp, "_now"),
};

const product = lookUp("product", { product_id: "product_id" }, { list_price: optional(decimal(2)) });

const rules = {
  quantity_missing: quarantine("There is no quantity, or it is no whole number."),
  quantity_zero: quarantine("Nothing was sold."),
  quantity_negative: quarantine("The quantity is below zero, and the sale is not a return."),
  quantity_absurd: quarantine("The quantity is beyond what one line of a sale can be."),
  price_missing: quarantine("There is no price, or it is no amount of money."),
  price_negative: quarantine("The price is below zero."),
  price_zero: quarantine("The price is zero."),
  price_absurd: quarantine("The price is beyond what anything costs here."),
  price_below_list: quarantine("The price is too small a share of the product's list price."),
  discount_out_of_range: quarantine("The discount is not between 0 and `max_discount_percent`."),
  timestamp_in_future: quarantine("The sale is said to happen after it was heard of."),
  timestamp_too_old: quarantine("The sale was heard of too long after it happened."),
  unknown_currency: quarantine("The currency is none, or none that is taken here."),
  unknown_payment_method: warn("The way to pay is not known."),
};

const params = {
  max_quantity: wholeNumber(10_000n),
  max_price: amount(2, "100000.00"),
  max_discount_percent: amount(2, "100.00"),
  allow_zero_price: flag(false),
  min_share_of_list_price: amount(4),
  future_tolerance_seconds: wholeNumber(600n),
  max_age_days: wholeNumber(null),
  currencies: words([]),
  payment_methods: words(["card", "cash", "gift_card", "mobile", "voucher"]),
};

type Sale = Row<typeof reads, typeof product>;
type Limits = Params<typeof params>;
type Refusal = Refuse<typeof rules>;

export const validation = validator({
  reads,
  rules,
  params,
  lookUps: (params) => (params.min_share_of_list_price === null ? [] : [product]),
  check(params) {
    for (const name of ["max_quantity", "max_price", "max_age_days"] as const) {
      const most = params[name];
      if (most !== null && most <= 0n) throw `params: ${name} must be above zero`;
    }
    const discount = params.max_discount_percent;
    if (discount < 0n || discount > HUNDRED) throw "params: max_discount_percent must be from 0 to 100";
    if (params.future_tolerance_seconds < 0n) throw "params: future_tolerance_seconds must not be below zero";
  },
  validate(sale, params, refuse) {
    checkQuantity(sale, params, refuse);
    checkPrice(sale, params, refuse);
    const percent = sale.discount_percent;
    if (percent !== null && (percent < 0n || percent > params.max_discount_percent)) {
      refuse("discount_out_of_range", `discount_percent is ${money(percent, 2)}`);
    }
    checkTime(sale, params, refuse);
    const { currency, payment_method: method } = sale;
    if (currency !== null && !isTaken(currency, params)) {
      refuse("unknown_currency", `currency is ${JSON.stringify(currency)}`);
    }
    if (method !== null && !params.payment_methods.includes(method)) {
      refuse("unknown_payment_method", `payment_method is ${JSON.stringify(method)}`);
    }
  },
});

function isTaken(currency: string, { currencies: taken }: Limits): boolean {
  return taken.length === 0 ? currencies.has(currency) : taken.includes(currency);
}

/** A return may count what comes back upwards or downwards. */
function checkQuantity(sale: Sale, params: Limits, refuse: Refusal): void {
  const quantity = sale.quantity;
  if (quantity === null) return refuse("quantity_missing", "quantity is absent or no whole number");
  if (quantity === 0n) refuse("quantity_zero", "quantity is 0");
  if (quantity < 0n && sale.kind?.toLowerCase() !== "return") {
    refuse("quantity_negative", `quantity is ${quantity}, and the type is not return`);
  }
  if ((quantity < 0n ? -quantity : quantity) > params.max_quantity) {
    refuse("quantity_absurd", `quantity is ${quantity}, the limit is ${params.max_quantity}`);
  }
}

function checkPrice(sale: Sale, params: Limits, refuse: Refusal): void {
  const price = sale.unit_price;
  if (price === null) return refuse("price_missing", "unit_price is absent or no amount of money");
  if (price < 0n) refuse("price_negative", `unit_price is ${money(price, 2)}`);
  if (price === 0n && !params.allow_zero_price) refuse("price_zero", "unit_price is 0");
  if (price > params.max_price) {
    refuse("price_absurd", `unit_price is ${money(price, 2)}, the limit is ${money(params.max_price, 2)}`);
  }
  const listPrice = sale.product?.list_price ?? null;
  if (params.min_share_of_list_price === null || listPrice === null) return;
  const least = timesRate(listPrice, params.min_share_of_list_price, 4);
  if (price < least) {
    refuse("price_below_list", `unit_price is ${money(price, 2)}, at least ${money(least, 2)} of ${money(listPrice, 2)} is asked`);
  }
}

function checkTime({ timestamp, now }: Sale, params: Limits, refuse: Refusal): void {
  if (timestamp === null || now === null) return;
  const ahead = (timestamp - now) / 1_000_000n;
  if (ahead > params.future_tolerance_seconds) {
    refuse("timestamp_in_future", `${moment(timestamp)} is ${ahead} seconds after ${moment(now)}, when it was heard of`);
  }
  const days = params.max_age_days;
  if (days !== null && -ahead > days * 86_400n) {
    refuse("timestamp_too_old", `${moment(timestamp)} is over ${days} days before ${moment(now)}, when it was heard of`);
  }
}
