package curl

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Request is what a command line asks for. Texts may hold shell variables (see
// Variable).
type Request struct {
	URL     string
	Method  string // "" where nothing says it
	Headers []Header
	Data    []byte // nil: none
	Type    string // content type that curl gives Data by itself
	Form    []Part // of -F
	Query   []string

	User      string // name:password
	UserGiven bool
	Digest    bool
	Bearer    string
	SigV4     string // aws:amz:region:service

	Cookie    string // of -b, where it is no file
	Jar       string // the file that both -b and -c name
	Proxy     string
	ProxyUser string

	Insecure                          bool
	CAFile, Cert, Key                 string
	MaxTime, ConnectTimeout           string // seconds
	MaxRedirects, Retries, RetryDelay string

	Left []Left // what was left out, in the order of the line
}

// Header is one header; Drop: curl was told not to send it.
type Header struct {
	Name, Value string
	Drop        bool
}

// Part is one of -F.
type Part struct {
	Name, Value    string
	File           bool // Value is the path of a file that is sent
	Type, Filename string
}

// Left is an option that says nothing of a request, or nothing that is carried
// over.
type Left struct{ Option, Why string }

// maxFile bounds a file whose content becomes part of the request, in bytes.
const maxFile = 256 << 10

// Parse reads a command line. dir is where the files that it names are looked
// for. Errors name the option.
func Parse(line, dir string) (*Request, error) {
	words, err := split(strings.TrimSpace(line))
	if err != nil {
		return nil, err
	}
	for len(words) > 0 && (words[0] == "$" || words[0] == "%") { // a prompt that was copied too
		words = words[1:]
	}
	if len(words) == 0 || words[0] != "curl" && !strings.HasSuffix(words[0], "/curl") && words[0] != "curl.exe" {
		return nil, errors.New("this is no curl command: it begins with " + first(words))
	}
	p := &parser{dir: dir, words: words[1:]}
	if err := p.all(); err != nil {
		return nil, err
	}
	return &p.r, p.finish()
}

func first(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.40q", words[0])
}

type parser struct {
	dir     string
	words   []string
	r       Request
	get     bool // -G
	head    bool
	urls    []string
	data    []string
	jar     string // of -c
	jarRead string // of -b, when it is a file
	upload  string
}

func (p *parser) all() error {
	for len(p.words) > 0 {
		w := p.words[0]
		p.words = p.words[1:]
		switch {
		case w == "--":
			p.urls = append(p.urls, p.words...)
			return nil
		case strings.HasPrefix(w, "--"):
			if err := p.long(w); err != nil {
				return err
			}
		case len(w) > 1 && w[0] == '-':
			if err := p.short(w[1:]); err != nil {
				return err
			}
		default:
			p.urls = append(p.urls, w)
		}
	}
	return nil
}

func (p *parser) long(w string) error {
	name, value, given := strings.Cut(w[2:], "=")
	if o, ok := options[name]; ok && o.value != nil {
		if !given {
			var err error
			if value, err = p.next("--" + name); err != nil {
				return err
			}
		}
		return named("--"+name, o.value(p, value))
	} else if ok {
		return named("--"+name, o.flag(p))
	}
	if strings.HasPrefix(name, "no-") {
		return nil // of a switch that says nothing of the request
	}
	return fmt.Errorf("curl has no option --%s that is known here", name)
}

func (p *parser) short(letters string) error {
	for i := range len(letters) {
		letter := letters[i : i+1]
		name, ok := shorts[letter]
		if !ok {
			return fmt.Errorf("curl has no option -%s that is known here", letter)
		}
		o := options[name]
		if o.value == nil {
			if err := named("-"+letter, o.flag(p)); err != nil {
				return err
			}
			continue
		}
		value := letters[i+1:]
		if value == "" {
			var err error
			if value, err = p.next("-" + letter); err != nil {
				return err
			}
		}
		return named("-"+letter, o.value(p, value))
	}
	return nil
}

func (p *parser) next(option string) (string, error) {
	if len(p.words) == 0 {
		return "", fmt.Errorf("%s needs a value behind it", option)
	}
	v := p.words[0]
	p.words = p.words[1:]
	return v, nil
}

func named(option string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	return nil
}

func (p *parser) left(option, why string) { p.r.Left = append(p.r.Left, Left{option, why}) }

// read is the content of a file that a command names.
func (p *parser) read(name string) ([]byte, error) {
	if name == "-" {
		return nil, errors.New("reads standard input, which is not there; put the text into the command or into a file")
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("the file %s cannot be read here", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("the file %s has %d bytes, at most %d fit into a flow; send it with multipart, or as what another task has left", name, info.Size(), maxFile)
	}
	return root.ReadFile(name)
}

// finish puts together what several options have said.
func (p *parser) finish() error {
	r := &p.r
	switch {
	case len(p.urls) == 0:
		return errors.New("the command has no address")
	case len(p.urls) > 1:
		return fmt.Errorf("the command has %d addresses; a task makes one request: write a task for each", len(p.urls))
	}
	r.URL = p.urls[0]
	if !strings.Contains(r.URL, "://") && !strings.HasPrefix(r.URL, "\x00") {
		r.URL = "http://" + r.URL
	}
	if p.data != nil {
		joined := strings.Join(p.data, "&")
		if r.Type == "application/json" {
			joined = strings.Join(p.data, "")
		}
		if p.get {
			r.Query = append(r.Query, joined)
			r.Type = ""
		} else {
			r.Data = []byte(joined)
		}
	}
	if r.Method == "" {
		switch {
		case p.head:
			r.Method = "HEAD"
		case p.upload != "":
			r.Method = "PUT"
		case p.data != nil && !p.get || r.Form != nil:
			r.Method = "POST"
		}
	}
	if p.jarRead != "" || p.jar != "" {
		if p.jarRead == p.jar {
			r.Jar = p.jar
		} else {
			p.left("-b or -c", "cookies of a file; cookie_jar shares those that servers set, for the tasks of a run")
		}
	}
	r.Headers = slices.DeleteFunc(r.Headers, func(h Header) bool { return h.Drop })
	return nil
}
