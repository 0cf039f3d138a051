//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// point is what shall happen at one place.
type point struct {
	action string
	arg    string
	at     int // hit; 0 is every one
	hits   int
}

var points = sync.OnceValue(func() map[string]*point {
	out := map[string]*point{}
	for _, text := range strings.Split(os.Getenv("QARION_FAILPOINTS"), ";") {
		name, what, ok := strings.Cut(text, "=")
		if !ok {
			continue
		}
		p := &point{at: 1}
		what, hit, ok := strings.Cut(what, "@")
		if ok {
			p.at, _ = strconv.Atoi(hit) // "*" is 0
		}
		p.action, p.arg, _ = strings.Cut(what, ":")
		out[name] = p
	}
	return out
})

var mu sync.Mutex

// hit counts a hit and returns what happens at it.
func hit(name string) (action, arg string) {
	p := points()[name]
	if p == nil {
		return "", ""
	}
	mu.Lock()
	defer mu.Unlock()
	p.hits++
	if p.at != 0 && p.at != p.hits {
		return "", ""
	}
	return p.action, p.arg
}

// Here is a point at which the program may be stopped.
func Here(name string) {
	switch action, arg := hit(name); action {
	case "kill":
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {} // until the signal arrives
	case "wait":
		for {
			if _, err := os.Stat(arg); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// Fails reports whether what follows is to fail.
func Fails(name string) bool {
	action, _ := hit(name)
	return action == "fail"
}
