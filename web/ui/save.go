package ui

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
)

// cell is a value of a row as text: strings bare, NULL as nothing.
func cell(v json.RawMessage) string {
	var text string
	if json.Unmarshal(v, &text) == nil {
		return text
	}
	if string(v) == "null" {
		return ""
	}
	return string(v)
}

// cells are a row as texts.
func (r rows) cells() (out [][]string) {
	for _, row := range r.Rows {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = cell(v)
		}
		out = append(out, line)
	}
	return out
}

// save makes a file of an answer: CSV (RFC 4180) with a line of names, or a
// JSON list of objects.
func (r *rows) save(format string) *file {
	var out bytes.Buffer
	if format == "csv" {
		w := csv.NewWriter(&out)
		w.UseCRLF = true
		_ = w.Write(r.Columns)
		for _, row := range r.cells() {
			_ = w.Write(row)
		}
		w.Flush()
		return &file{"query.csv", "text/csv; charset=utf-8", out.Bytes()}
	}
	out.WriteByte('[')
	for i, row := range r.Rows {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n{")
		for j, v := range row {
			if j > 0 {
				out.WriteByte(',')
			}
			name, _ := json.Marshal(r.Columns[j])
			out.Write(name)
			out.WriteByte(':')
			out.Write(v)
		}
		out.WriteByte('}')
	}
	out.WriteString("\n]\n")
	return &file{"query.json", "application/json", out.Bytes()}
}
