"""The functions of SQLite that a statement over history may call, and what they are there.

SQLite's values carry their types, the historical engine's columns do. A value out of JSON therefore
becomes a `_raydo_value`: a number or a text, which compares and sorts as SQLite's values do, and
leaves the engine as an INTEGER, a REAL or a TEXT.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from raydo.actors.spelling import words

VALUE: Final = "_raydo_value"  # what came out of JSON

_AGGREGATES: Final = """avg count count_star group_concat max median min string_agg sum total"""
_WINDOWS: Final = """cume_dist dense_rank first_value lag last_value lead nth_value ntile
    percent_rank rank row_number"""
_SCALARS: Final = """abs concat concat_ws format hex iif instr length lower ltrim nullif printf
    random replace round rtrim sign substr substring trim typeof unicode upper"""
_NUMBERS: Final = """acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor
    ln log log10 log2 mod pi pow power radians sin sinh sqrt tan tanh trunc"""
_JSON: Final = """json_array json_array_length json_extract json_group_array json_group_object
    json_object json_quote json_type json_valid"""
_TIMES: Final = """_raydo_date _raydo_time datetime julianday local_date local_hour strftime
    unixepoch"""
# What SQLite lacks, and a statement that only ever runs over history may use.
_MORE: Final = """any_value approx_count_distinct arg_max arg_min bool_and bool_or contains corr
    date_part date_trunc ends_with epoch_ms greatest least make_timestamp mode quantile_cont
    regexp_extract regexp_matches regexp_replace split_part starts_with stddev
    variance"""

FUNCTIONS: Final = words(f"{_AGGREGATES} {_WINDOWS} {_SCALARS} {_NUMBERS} {_JSON} {_TIMES} {_MORE}")
OPERATORS: Final = words(
    "+ - * / // % & | ~ << >> || ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ->> @>"
)

# LIKE, which takes capitals of ASCII for small letters, as the operator that does so with all.
LIKES: Final = {
    "~~": "~~*",
    "!~~": "!~~*",
    "like_escape": "ilike_escape",
    "not_like_escape": "not_ilike_escape",
}
# Which operators see whole numbers alone.
WHOLE: Final = words("% & | ~ << >>")
# Which functions take numbers, so that a value out of JSON has to become one first …
NUMERIC: Final = words(f"""{_NUMBERS} abs avg corr median quantile_cont round sign stddev sum total variance
    + - * / // % & | ~ << >>""")
# … and which take texts.
TEXTUAL: Final = words("""concat concat_ws contains ends_with group_concat hex instr length lower ltrim regexp_extract
    regexp_matches regexp_replace replace rtrim split_part starts_with string_agg substr substring
    trim unicode upper || ~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape""")
# What gives back one of the values that it gets.
CHOOSING: Final = words("""any_value arg_max arg_min first_value greatest iif lag last_value lead least max min mode
    nth_value nullif""")
# The same function under another name.
NAMES: Final = {
    "ceiling": "ceil",
    "format": "printf",
    "group_concat": "string_agg",
    "iif": "_raydo_iif",
    "json_array_length": "_raydo_json_array_length",
    "json_type": "_raydo_json_type",
    "local_date": "_raydo_local_date",
    "local_hour": "_raydo_local_hour",
    "lower": "_raydo_lower",
    "mod": "_raydo_mod",
    "random": "_raydo_random",
    "typeof": "_raydo_typeof",
    "upper": "_raydo_upper",
}

_INTEGER: Final = r"^\s*[+-]?\d+"
_REAL: Final = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def _comparisons() -> Iterator[str]:
    """Write the comparisons of such a value with a number or a text; any text is the greater."""
    for name, operator in (("eq", "="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
        for member, kind in (("num", "number"), ("str", "text")):
            greater = (operator[0] == ">") == (kind == "number") and operator != "="
            yield f"""CREATE MACRO _raydo_{name}_{kind}(x {VALUE}, y) AS
                CASE WHEN x IS NULL THEN NULL
                ELSE coalesce(union_extract(x, '{member}') {operator} y, {greater}) END"""


DEFINITIONS: Final = (  # each after those that it needs
    f"CREATE TYPE {VALUE} AS UNION(num DOUBLE, str VARCHAR)",
    f"""CREATE MACRO _raydo_of_json(j) AS CASE json_type(j)
        WHEN 'VARCHAR' THEN union_value(str := j ->> '$')::{VALUE}
        WHEN 'BOOLEAN' THEN union_value(num := (j::VARCHAR = 'true')::DOUBLE)::{VALUE}
        WHEN 'OBJECT' THEN union_value(str := j::VARCHAR)::{VALUE}
        WHEN 'ARRAY' THEN union_value(str := j::VARCHAR)::{VALUE}
        WHEN 'NULL' THEN NULL::{VALUE}
        ELSE CASE WHEN j IS NULL THEN NULL::{VALUE}
            ELSE union_value(num := j::DOUBLE)::{VALUE} END END""",
    "CREATE MACRO _raydo_or_zero(x) AS coalesce(x::DOUBLE, 0::DOUBLE)",
    """CREATE MACRO _raydo_path(label) AS
        CASE WHEN label LIKE '$%' THEN label ELSE '$."' || label || '"' END""",
    "CREATE MACRO _raydo_json(doc, path) AS _raydo_of_json(json_extract(doc, path))",
    f"""CREATE MACRO _raydo_of_number(x) AS CASE WHEN x IS NULL THEN NULL::{VALUE}
        ELSE union_value(num := x::DOUBLE)::{VALUE} END""",
    rf"""CREATE MACRO _raydo_number(x {VALUE}) AS CASE WHEN x IS NULL THEN NULL ELSE
        coalesce(union_extract(x, 'num'),
            TRY_CAST(regexp_extract(union_extract(x, 'str'), '{_REAL}') AS DOUBLE), 0) END""",
    """CREATE MACRO _raydo_digits(x) AS CASE WHEN x = trunc(x) AND abs(x) < 1e15
        THEN x::BIGINT::VARCHAR ELSE x::VARCHAR END""",
    f"""CREATE MACRO _raydo_text(x {VALUE}) AS CASE WHEN x IS NULL THEN NULL ELSE
        coalesce(union_extract(x, 'str'), _raydo_digits(union_extract(x, 'num'))) END""",
    f"""CREATE MACRO _raydo_plain(x {VALUE}) AS CASE WHEN x IS NULL THEN NULL
        WHEN union_extract(x, 'str') IS NOT NULL THEN to_json(union_extract(x, 'str'))
        ELSE _raydo_digits(union_extract(x, 'num'))::JSON END""",
    rf"""CREATE MACRO _raydo_integer(x) AS CAST(CASE
        WHEN x IS NULL THEN NULL
        WHEN typeof(x) IN ('VARCHAR', 'JSON')
            THEN coalesce(TRY_CAST(regexp_extract(x::VARCHAR, '{_INTEGER}') AS BIGINT), 0)
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT') OR typeof(x) LIKE 'DECIMAL%'
            THEN TRY_CAST(trunc(TRY_CAST(x AS DOUBLE)) AS BIGINT)
        ELSE TRY_CAST(x AS BIGINT) END AS BIGINT)""",
    rf"""CREATE MACRO _raydo_real(x) AS CAST(CASE
        WHEN x IS NULL THEN NULL
        WHEN typeof(x) IN ('VARCHAR', 'JSON')
            THEN coalesce(TRY_CAST(regexp_extract(x::VARCHAR, '{_REAL}') AS DOUBLE), 0)
        ELSE TRY_CAST(x AS DOUBLE) END AS DOUBLE)""",
    "CREATE MACRO _raydo_mod(a, b) AS (a % b)::DOUBLE",
    f"CREATE MACRO _raydo_lower(x) AS translate(x::VARCHAR, '{ascii_uppercase}', '{ascii_lowercase}')",
    f"CREATE MACRO _raydo_upper(x) AS translate(x::VARCHAR, '{ascii_lowercase}', '{ascii_uppercase}')",
    *_comparisons(),
    # A comparison that the engine cannot make a BETWEEN of, which does not know these values.
    "CREATE MACRO _raydo_holds(x) AS CASE WHEN x THEN TRUE WHEN NOT x THEN FALSE END",
    """CREATE MACRO _raydo_typeof(x) AS CASE WHEN x IS NULL THEN 'null'
        WHEN typeof(x) IN ('DOUBLE', 'FLOAT') OR typeof(x) LIKE 'DECIMAL%' THEN 'real'
        WHEN typeof(x) LIKE '%INT%' OR typeof(x) = 'BOOLEAN' THEN 'integer'
        WHEN typeof(x) = 'BLOB' THEN 'blob' ELSE 'text' END""",
    f"""CREATE MACRO _raydo_typeof_value(x {VALUE}) AS CASE WHEN x IS NULL THEN 'null'
        WHEN union_extract(x, 'str') IS NOT NULL THEN 'text'
        WHEN union_extract(x, 'num') = trunc(union_extract(x, 'num'))
            AND abs(union_extract(x, 'num')) < 9.2e18 THEN 'integer'
        ELSE 'real' END""",
    "CREATE MACRO _raydo_iif(condition, yes, no) AS CASE WHEN condition THEN yes ELSE no END",
    """CREATE MACRO _raydo_least(a, b) AS
        CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE least(a, b) END""",
    """CREATE MACRO _raydo_greatest(a, b) AS
        CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE greatest(a, b) END""",
    "CREATE MACRO _raydo_random() AS CAST((random() - 0.5) * 1.8e19 AS BIGINT)",
    """CREATE MACRO _raydo_json_array_length(j) AS
        CASE WHEN j IS NULL THEN NULL ELSE coalesce(json_array_length(j), 0)::BIGINT END""",
    """CREATE MACRO _raydo_json_type(j, path := '$') AS CASE json_type(j, path)
        WHEN 'NULL' THEN 'null' WHEN 'VARCHAR' THEN 'text' WHEN 'OBJECT' THEN 'object'
        WHEN 'ARRAY' THEN 'array' WHEN 'DOUBLE' THEN 'real'
        WHEN 'BOOLEAN' THEN json_extract_string(j, path)
        ELSE CASE WHEN json_type(j, path) IS NULL THEN NULL ELSE 'integer' END END""",
)
