package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assets are the files that pages need, compressed once. Their address has a
// hash of them all, so that a browser keeps them for as long as it likes.
type assets struct {
	build string
	files map[string]asset
}

type asset struct {
	contentType string
	plain, gzip []byte
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}}
	sum := sha256.New()
	names, err := fs.Glob(assetFiles, "assets/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := assetFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		_, _ = sum.Write(text)
		var small bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
		if _, err := zip.Write(text); err != nil {
			return nil, err
		}
		if err := zip.Close(); err != nil {
			return nil, err
		}
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" { // what the system's table says is not always right
			kind = "text/javascript; charset=utf-8"
		}
		a.files[path.Base(name)] = asset{kind, text, small.Bytes()}
	}
	a.build = hex.EncodeToString(sum.Sum(nil))[:12]
	return a, nil
}

// Assets answers GET /assets/{build}/{file}: whoever asks, since a page of the
// login needs them too.
func (s *Site) Assets(w http.ResponseWriter, r *http.Request) error {
	f, found := s.assets.files[r.PathValue("file")]
	if !found || r.PathValue("build") != s.assets.build {
		return fmt.Errorf("nothing is at %.100s: load the page again", r.URL.Path)
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if path.Ext(r.PathValue("file")) == ".js" { // a worker has the policy that it comes with
		h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'")
	}
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	_, _ = w.Write(body)
	return nil
}
