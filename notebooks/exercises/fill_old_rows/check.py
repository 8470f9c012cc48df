"""products.currency: EUR in old rows and new ones, without touching a row."""

from migration_lab.grading import Graded, NotYet, WrongRows

OLD_CODE = "INSERT INTO products (name, price) VALUES ('Teapot', 24.90) RETURNING currency"


def check(db: Graded) -> None:
    column = db.schema.tables["products"].columns.get("currency")
    if column is None:
        raise NotYet("products has no column currency after the upgrade.")
    if column.type != "character varying(3)":
        raise NotYet(f"products.currency is {column.type}; a currency's code has three letters: character varying(3).")
    empty = db.value("SELECT count(*) FROM products WHERE currency IS NULL")
    if empty:
        raise WrongRows(
            f"{empty} products that were there before have no currency (NULL). "
            "A default that comes after the column fills new rows only."
        )
    strange = db.rows("SELECT id, currency FROM products WHERE currency <> 'EUR' ORDER BY id")
    if strange:
        product, currency = strange[0]
        raise WrongRows(
            f"{len(strange)} old products have another currency than EUR: that of product {product} is {currency!r}."
        )
    refused = db.refusal(OLD_CODE)
    if refused:
        raise NotYet(
            f"code that does not know the column can't add a product any more: {refused.diag.message_primary}. "
            "It runs until the last server is deployed: keep the default."
        )
    if db.value(OLD_CODE) != "EUR":
        raise NotYet("a product that old code adds gets no EUR: the column has no such server_default.")
    if column.nullable:
        raise NotYet(
            "products.currency allows NULL (pg_attribute.attnotnull is false): a price without a currency could come in."
        )
    if refused := db.refusal("INSERT INTO products (name, price, currency) VALUES ('Teapot', 24.90, 'USD')"):
        raise NotYet(f"new code can't add a product with a price in USD: {refused.diag.message_primary}.")
    written = db.rows_written("products")
    if written:
        raise NotYet(
            f"the database is right, but the migration wrote {written} rows anew. On a large table that is minutes of "
            "locks and a table twice its size. The catalog can hold the default: say it as the column is added."
        )


def explain(error) -> str | None:
    if error.sqlstate == "23502":
        return "The old rows would be NULL: without a default, there is nothing to put into them."
    return None


PASSED = "every old product and every new one has a currency, and no row was written for it."
