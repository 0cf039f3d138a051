package transform

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/qarion/qarion/internal/value"
)

// types knows the element types of arrays.
var types = pgtype.NewMap()

// appendText appends a value of PostgreSQL, as the server writes it, as JSON.
func appendText(dst, text []byte, oid uint32) ([]byte, error) {
	if text == nil {
		return append(dst, "null"...), nil
	}
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		return append(dst, text...), nil
	case pgtype.BoolOID:
		return strconv.AppendBool(dst, text[0] == 't'), nil
	case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return appendNumber(dst, string(text), oid), nil
	case pgtype.JSONOID, pgtype.JSONBOID:
		var b bytes.Buffer
		if err := json.Compact(&b, text); err != nil {
			return dst, err
		}
		return append(dst, b.Bytes()...), nil
	case pgtype.TimestamptzOID, pgtype.TimestampOID:
		return value.AppendString(dst, timestamp(string(text))), nil
	case pgtype.ByteaOID:
		data, err := hex.DecodeString(strings.TrimPrefix(string(text), `\x`))
		if err != nil {
			return dst, fmt.Errorf("a bytea cannot be read: %w", err)
		}
		return value.AppendString(dst, base64.StdEncoding.EncodeToString(data)), nil
	case pgtype.BPCharOID:
		return value.AppendString(dst, strings.TrimRight(string(text), " ")), nil
	}
	if t, ok := types.TypeForOID(oid); ok {
		if array, isArray := t.Codec.(*pgtype.ArrayCodec); isArray {
			out, rest, err := appendArray(dst, string(text), array.ElementType.OID)
			if err != nil || rest != "" {
				return value.AppendString(dst, string(text)), nil // with bounds of its own: [0:1]={1,2}
			}
			return out, nil
		}
	}
	return value.AppendString(dst, strings.ToValidUTF8(string(text), "\uFFFD")), nil
}

// appendNumber appends a number; one that a float64 does not hold exactly, or
// that is none, is text.
func appendNumber(dst []byte, text string, oid uint32) []byte {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return value.AppendString(dst, text)
	}
	if oid != pgtype.NumericOID {
		dst, _ = value.AppendJSON(dst, f)
		return dst
	}
	if _, err := strconv.ParseInt(text, 10, 64); err == nil || exact(value.Number(text), f) {
		return append(dst, text...)
	}
	return value.AppendString(dst, text)
}

// timestamp writes a time of the server as RFC 3339; one without a zone is in
// UTC. What has no such form, as infinity, stays as it is.
func timestamp(text string) string {
	for _, layout := range []string{"2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
	}
	return text
}

// appendArray appends an array such as {1,NULL,"a b"} as a list, and returns
// what follows it.
func appendArray(dst []byte, text string, element uint32) (out []byte, rest string, err error) {
	bad := fmt.Errorf("an array cannot be read")
	if !strings.HasPrefix(text, "{") {
		return dst, text, bad
	}
	dst, text = append(dst, '['), text[1:]
	for first := true; ; first = false {
		switch {
		case text == "":
			return dst, text, bad
		case text[0] == '}':
			return append(dst, ']'), text[1:], nil
		case text[0] == ',' && !first:
			text = text[1:]
		case !first:
			return dst, text, bad
		}
		if !first {
			dst = append(dst, ',')
		}
		if text != "" && text[0] == '{' {
			if dst, text, err = appendArray(dst, text, element); err != nil {
				return dst, text, err
			}
			continue
		}
		var item []byte
		if item, text, err = arrayItem(text); err != nil {
			return dst, text, err
		}
		if dst, err = appendText(dst, item, element); err != nil {
			return dst, text, err
		}
	}
}

// arrayItem reads one element; nil stands for NULL.
func arrayItem(text string) (item []byte, rest string, err error) {
	if text == "" || text[0] != '"' {
		end := strings.IndexAny(text, ",}")
		if end < 0 {
			return nil, text, fmt.Errorf("an array cannot be read")
		}
		if text[:end] == "NULL" {
			return nil, text[end:], nil
		}
		return []byte(text[:end]), text[end:], nil
	}
	item = []byte{}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
			if i < len(text) {
				item = append(item, text[i])
			}
		case '"':
			return item, text[i+1:], nil
		default:
			item = append(item, text[i])
		}
	}
	return nil, "", fmt.Errorf("an array cannot be read")
}
