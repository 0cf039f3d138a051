package ui

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/qarion/qarion/engine"
)

// The bounds of a value that is shown as a tree. What is larger is shown as text.
const (
	maxTree      = 256 << 10 // bytes of JSON
	treeEntries  = 100       // of a list or an object
	treeOpen     = 2         // levels that are open at first
	maxTreeDepth = 40
	maxTreeLeafs = 5000
)

// branch is a part of a value.
type branch struct {
	Name     string // key or index; "" of the whole
	Read     string // how a template reads it
	Text     string // of what is neither list nor object, as JSON
	Kind     string // list, object; "" for the rest
	N        int    // entries
	Open     bool
	Children []branch
	More     int // entries that are not shown
}

// treeOf is a value as a tree; nil when it is too large for one, or no JSON.
func treeOf(task engine.TaskID, text []byte) *branch {
	if len(text) > maxTree {
		return nil
	}
	r := treeReader{json: json.NewDecoder(bytes.NewReader(text)), left: maxTreeLeafs}
	r.json.UseNumber()
	root := branch{Read: "xcom_" + task.TemplateName()}
	if r.read(&root, 0) != nil || root.Kind == "" {
		return nil
	}
	if _, err := r.json.Token(); err != io.EOF {
		return nil
	}
	return &root
}

type treeReader struct {
	json *json.Decoder
	left int // entries that may still be shown
}

func (r *treeReader) read(b *branch, depth int) error {
	t, err := r.json.Token()
	if err != nil {
		return err
	}
	open, compound := t.(json.Delim)
	if !compound {
		out, err := json.Marshal(t)
		b.Text = string(out)
		return err
	}
	b.Kind, b.Open = "list", depth < treeOpen
	if open == '{' {
		b.Kind = "object"
	}
	for ; r.json.More(); b.N++ {
		child := branch{Name: strconv.Itoa(b.N), Read: b.Read + "[" + strconv.Itoa(b.N) + "]"}
		if open == '{' {
			key, err := r.json.Token()
			if err != nil {
				return err
			}
			child.Name, _ = key.(string)
			child.Read = b.Read + member(child.Name)
		}
		if err := r.read(&child, depth+1); err != nil {
			return err
		}
		if r.left--; b.N < treeEntries && r.left > 0 && depth < maxTreeDepth {
			b.Children = append(b.Children, child)
		} else {
			b.More++
		}
	}
	_, err = r.json.Token()
	return err
}

// member is how a template reads a key of an object.
func member(key string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	if key != "" && strings.Trim(key, letters+"0123456789") == "" && strings.ContainsRune(letters, rune(key[0])) {
		return "." + key
	}
	quoted, _ := json.Marshal(key) // a text
	return "[" + string(quoted) + "]"
}
