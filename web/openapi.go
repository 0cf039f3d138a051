package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// object is a JSON object of the document; its keys are written sorted.
type object = map[string]any

// openAPI is the OpenAPI 3.1 document of the API, made from its routes.
func openAPI(routes []route) ([]byte, error) {
	schemas := schemas{types: map[string]reflect.Type{}, docs: object{}}
	problem := schemas.of(reflect.TypeFor[Problem]())
	paths := object{}
	for i := range routes {
		rt := &routes[i]
		item, ok := paths[rt.path].(object)
		if !ok {
			item = object{}
			paths[rt.path] = item
		}
		item[strings.ToLower(rt.method)] = rt.operation(&schemas)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "qarion", "version": "v1", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Runs flows of HTTP API calls, durably. Fields may be added to answers; what is here stays as it is.",
		},
		"servers":  []any{object{"url": apiPrefix}},
		"security": []any{object{}, object{"token": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         schemas.docs,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "qarion tokens create; on loopback none is needed"}},
			"responses": object{"Problem": object{
				"description": "what went wrong (RFC 9457)", "content": object{"application/problem+json": object{"schema": problem}},
			}},
		},
	}
	if schemas.twice != "" {
		return nil, fmt.Errorf("two types are called %s", schemas.twice)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	return append(text, '\n'), err
}

// operation describes a route.
func (rt *route) operation(all *schemas) object {
	e, _ := engine.EndpointNamed(rt.endpoint)
	op := object{
		"operationId": operationID(rt), "summary": rt.summary, "x-qarion-endpoint": rt.endpoint, "x-qarion-role": string(e.Role),
		"tags": []any{strings.Split(strings.Trim(rt.path, "/"), "/")[0]},
	}
	if rt.more != "" {
		op["description"] = rt.more
	}
	var params []any
	for _, name := range pathWords(rt.path) {
		params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for in, list := range map[string][]param{"query": rt.query, "header": rt.headers} {
		for _, p := range list {
			params = append(params, object{"name": p.name, "in": in, "description": p.help, "schema": p.schema()})
		}
	}
	slices.SortStableFunc(params, func(a, b any) int {
		return strings.Compare(a.(object)["in"].(string)+a.(object)["name"].(string), b.(object)["in"].(string)+b.(object)["name"].(string))
	})
	if len(params) > 0 {
		op["parameters"] = params
	}
	if rt.body != nil {
		op["requestBody"] = object{"required": !rt.bodyField, "content": object{"application/json": object{"schema": all.of(reflect.TypeOf(rt.body))}}}
	}
	answer := object{"description": "the answer", "content": object{"application/json": object{"schema": all.of(reflect.TypeOf(rt.answer))}}}
	responses := object{"default": object{"$ref": "#/components/responses/Problem"}}
	if rt.endpoint == "run.start" {
		responses["201"], responses["202"] = answer, answer
	} else {
		responses["200"] = answer
	}
	op["responses"] = responses
	return op
}

// operationID is made of method and path: getRunsTasks.
func operationID(rt *route) string {
	id := strings.ToLower(rt.method)
	for part := range strings.SplitSeq(strings.Trim(rt.path, "/"), "/") {
		if name, isWord := strings.CutPrefix(part, "{"); isWord {
			part = "By_" + strings.TrimSuffix(name, "}")
		}
		id += strings.ToUpper(part[:1]) + strings.ReplaceAll(part[1:], "_", "")
	}
	return id
}

func (p *param) schema() object {
	if p.kind == "list" {
		return object{"type": "string"}
	}
	return object{"type": p.kind}
}

// schemas are the types that the document names.
type schemas struct {
	types map[string]reflect.Type
	docs  object
	twice string // a name that two types have
}

// of describes a Go type; structs by a reference to their name.
func (s *schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage](), reflect.TypeFor[any](), reflect.TypeFor[anything]():
		return object{}
	case reflect.TypeFor[value.Map]():
		return object{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.named(t)
	}
	return object{"type": "integer"}
}

func (s *schemas) named(t reflect.Type) object {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	ref := object{"$ref": "#/components/schemas/" + name}
	if is := s.types[name]; is != nil {
		if is != t {
			s.twice = name
		}
		return ref
	}
	s.types[name] = t
	properties, required := object{}, []any{}
	s.docs[name] = object{"type": "object", "properties": properties} // before its fields: it may hold itself
	for _, f := range reflect.VisibleFields(t) {
		field, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if field == "" || field == "-" || !f.IsExported() {
			continue
		}
		schema := s.of(f.Type)
		if help := f.Tag.Get("doc"); help != "" {
			schema["description"] = help
		}
		properties[field] = schema
		if !strings.Contains(opts, "omit") {
			required = append(required, field)
		}
	}
	if len(required) > 0 {
		s.docs[name].(object)["required"] = required
	}
	return ref
}

// fieldNames are the JSON names of a struct's fields.
func fieldNames(of any) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(of)) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// showOpenAPI answers with the document.
func showOpenAPI(doc []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc)
	}
}
