// Command trouble is a hook that does what its configuration says, and mostly
// nothing good: for tests of what that costs others.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/qarion/qarion/examples/hooks/hookguest"
	"github.com/qarion/qarion/examples/hooks/hookguest/transform"
	"github.com/qarion/qarion/examples/hooks/hookguest/validate"
)

func init() {
	validate.Response(func(r *hookguest.Response) error { return trouble(&r.Message) })
	transform.Request(func(r *hookguest.Request) ([]byte, error) {
		if n, ok := r.Config.Get("give").Int(); ok {
			return make([]byte, n), nil
		}
		return r.Body, trouble(&r.Message)
	})
	transform.Response(func(r *hookguest.Response) ([]byte, error) { return r.Body, trouble(&r.Message) })
}

func main() {}

// kept is what earlier calls left in this instance.
var (
	kept  []byte
	calls int
	ch    = make(chan string)
)

func trouble(m *hookguest.Message) error {
	config := struct {
		Do  string
		N   int
		Say string
	}{}
	if err := m.Config.Decode(&config); err != nil {
		return err
	}
	calls++
	switch config.Do {
	case "":
	case "count":
		return fmt.Errorf("call %d of this instance, %d bytes kept", calls, len(kept))
	case "panic":
		panic(config.Say)
	case "nil map":
		var m map[string]int
		m["a"] = 1
	case "recurse":
		return fmt.Errorf("%d", recurse(config.N))
	case "deadlock":
		select {}
	case "exit":
		os.Exit(config.N)
	case "loop":
		for i := 0; ; i++ {
			if i < 0 {
				return nil
			}
		}
	case "keep": // memory that is never given back
		kept = append(kept, make([]byte, config.N)...)
	case "garbage": // N KB that nobody needs
		for range config.N {
			m.Body = append(make([]byte, 0, 1024), config.Say...)
		}
	case "sleep":
		time.Sleep(time.Duration(config.N) * time.Millisecond)
	case "leave a goroutine":
		go func() { ch <- m.Task() }()
	case "hear of it":
		return fmt.Errorf("%s", <-ch)
	case "log":
		for i := range config.N {
			hookguest.Info(fmt.Sprint(i, " ", config.Say))
		}
	case "print":
		fmt.Println(config.Say)
		fmt.Fprintln(os.Stderr, config.Say)
	case "print and panic":
		for i := range config.N {
			fmt.Fprintln(os.Stderr, "step", i)
		}
		panic(config.Say)
	case "tell in the log", "tell in a panic", "tell in a failure", "tell in the verdict", "tell standard error":
		return tell(m, config.Do)
	case "look around":
		return lookAround()
	default:
		return fmt.Errorf("no trouble called %q", config.Do)
	}
	return nil
}

func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n-1) + 1
}

// lookAround tells all that a module can find out about where it runs.
func lookAround() error {
	var seen []string
	seen = append(seen, os.Args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GO") {
			seen = append(seen, e)
		}
	}
	for _, name := range []string{"/", ".", "/etc/passwd", "/proc/self/environ"} {
		if f, err := os.Open(name); err == nil {
			seen = append(seen, f.Name())
		}
	}
	return fmt.Errorf("seen: %q", seen)
}

// tell gives a secret away.
func tell(m *hookguest.Message, how string) error {
	key, err := m.Secret("shop.key")
	if err != nil {
		return err
	}
	switch how {
	case "tell in the log":
		hookguest.Error("the key is " + key)
	case "tell in a panic":
		panic("the key is " + key)
	case "tell in a failure":
		return hookguest.Fail("code_"+key, "the key is "+key)
	case "tell in the verdict":
		return hookguest.Problem{Code: key, Message: "the key is " + key, Path: "/" + key}
	case "tell standard error":
		fmt.Fprintln(os.Stderr, "panic: the key is", key)
		os.Exit(1)
	}
	return nil
}
