package transform

import (
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/qarion/qarion/internal/value"
)

// columnTypes are the declared types of a result's columns, in capitals; ""
// where a column is computed.
func columnTypes(r driver.Rows) []string {
	types := make([]string, len(r.Columns()))
	if t, ok := r.(driver.RowsColumnTypeDatabaseTypeName); ok {
		for i := range types {
			types[i] = strings.ToUpper(t.ColumnTypeDatabaseTypeName(i))
		}
	}
	return types
}

// appendCell appends a value of SQLite as JSON. A column that is declared as
// BOOLEAN gives true and false, one of times RFC 3339.
func appendCell(dst []byte, v driver.Value, declared string) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case int64:
		if (declared == "BOOLEAN" || declared == "BOOL") && (v == 0 || v == 1) {
			return strconv.AppendBool(dst, v == 1), nil
		}
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		return appendFloat(dst, v)
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return value.AppendString(dst, strings.ToValidUTF8(v, "\uFFFD")), nil
	case []byte:
		return value.AppendString(dst, base64.StdEncoding.EncodeToString(v)), nil
	case time.Time:
		if declared == "DATE" && v.Equal(v.Truncate(24*time.Hour)) {
			return value.AppendString(dst, v.Format(time.DateOnly)), nil
		}
		return value.AppendString(dst, v.UTC().Format(time.RFC3339Nano)), nil
	}
	return dst, fmt.Errorf("a value of type %T cannot be taken", v)
}

// appendFloat appends a number; what JSON has no number for is text.
func appendFloat(dst []byte, f float64) ([]byte, error) {
	switch {
	case math.IsNaN(f):
		return value.AppendString(dst, "NaN"), nil
	case math.IsInf(f, 1):
		return value.AppendString(dst, "Infinity"), nil
	case math.IsInf(f, -1):
		return value.AppendString(dst, "-Infinity"), nil
	}
	return value.AppendJSON(dst, f)
}
