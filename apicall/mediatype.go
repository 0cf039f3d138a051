package apicall

import (
	"net/http"
	"slices"
	"strings"
)

// mediaType is the content type without its parameters, in lower case.
func mediaType(h http.Header) string { return cut(mediaTypeOf(h.Get("Content-Type")), 128) }

func mediaTypeOf(contentType string) string {
	t, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// mediaKind is what a content type says about a body.
type mediaKind int8

const (
	kindUnknown mediaKind = iota // nothing: the body itself decides
	kindText
	kindBytes
	kindJSON
	kindLines // a JSON text per line
	kindSeq   // JSON texts behind record separators (RFC 7464)
)

// textTypes are types outside text/ that are text, and byteTypes those that are
// not; both are compared without a suffix such as +xml.
var (
	textTypes = []string{
		"application/xml", "application/javascript", "application/ecmascript", "application/x-javascript", "application/yaml",
		"application/x-yaml", "application/toml", "application/graphql", "application/sql", "application/x-sh", "application/csv",
		"application/x-www-form-urlencoded", "application/jwt", "application/x-pem-file", "application/xml-dtd", "application/json5",
	}
	byteTypes = []string{
		"application/pdf", "application/zip", "application/gzip", "application/x-gzip", "application/x-tar", "application/x-bzip2",
		"application/zstd", "application/x-7z-compressed", "application/vnd.rar", "application/x-rar-compressed", "application/java-archive",
		"application/wasm", "application/msword", "application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf",
		"application/msgpack", "application/x-msgpack", "application/cbor", "application/avro", "application/vnd.apache.parquet",
		"application/vnd.sqlite3", "application/x-sqlite3", "application/pkcs8", "application/pkcs12", "application/x-pkcs12",
	}
	jsonLines = []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl", "application/jsonlines", "application/x-jsonlines"}
)

// mediaKindOf sorts a content type.
func mediaKindOf(contentType string) mediaKind {
	t := mediaTypeOf(contentType)
	switch major, minor, _ := strings.Cut(t, "/"); {
	case t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json"):
		return kindJSON
	case t == "application/json-seq" || strings.HasSuffix(t, "+json-seq"):
		return kindSeq
	case slices.Contains(jsonLines, t):
		return kindLines
	case major == "text" || strings.HasSuffix(t, "+xml") || strings.HasSuffix(t, "+yaml") || slices.Contains(textTypes, t):
		return kindText
	case major == "image" || major == "audio" || major == "video" || major == "font" || major == "model",
		slices.Contains(byteTypes, t), strings.HasSuffix(t, "+zip"), strings.HasSuffix(t, "+gzip"), strings.HasSuffix(t, "+cbor"),
		strings.HasPrefix(minor, "vnd.openxmlformats-"), strings.HasPrefix(minor, "vnd.ms-"), strings.HasPrefix(minor, "vnd.oasis.opendocument"):
		return kindBytes
	case charsetParam(contentType) != "":
		return kindText
	}
	return kindUnknown
}
