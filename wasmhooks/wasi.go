package wasmhooks

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// What modules see of wasi_snapshot_preview1: clocks, chance, two variables and
// the standard error. Everything else is there to be linked with and says that it
// cannot be done; there are no files but the three standard ones. A system of our
// own, since in a full one a few calls make the host work, or take memory, without
// end: a file renumbered to two thousand millions, gigabytes of chance.

// wasiSignatures are the parameters of all its functions: i is an i32, I an i64.
// All return an error number but proc_exit.
var wasiSignatures = map[string]string{
	"args_get": "ii", "args_sizes_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii", "clock_res_get": "ii", "clock_time_get": "iIi",
	"fd_advise": "iIIi", "fd_allocate": "iII", "fd_close": "i", "fd_datasync": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii",
	"fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii", "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi",
	"fd_prestat_get": "ii", "fd_prestat_dir_name": "iii", "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii",
	"fd_seek": "iIii", "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii", "path_create_directory": "iii", "path_filestat_get": "iiiii",
	"path_filestat_set_times": "iiiiIIi", "path_link": "iiiiiii", "path_open": "iiiiiIIii", "path_readlink": "iiiiii", "path_remove_directory": "iii",
	"path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii", "poll_oneoff": "iiii", "proc_exit": "i", "proc_raise": "i",
	"random_get": "ii", "sched_yield": "", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}

// Error numbers of WASI.
const (
	wasiOK    = 0
	wasiBadf  = 8
	wasiFault = 21
	wasiInval = 28
	wasiNosys = 52
)

// wasiFunction does what one function does, and returns an error number.
type wasiFunction func(in *instance, mod api.Module, p []uint64) uint64

var wasiFunctions = map[string]wasiFunction{
	"args_get": func(*instance, api.Module, []uint64) uint64 { return wasiOK },
	"args_sizes_get": func(_ *instance, mod api.Module, p []uint64) uint64 {
		return stored(mod.Memory().WriteUint32Le(uint32(p[0]), 0) && mod.Memory().WriteUint32Le(uint32(p[1]), 0))
	},
	"environ_get": environGet,
	"environ_sizes_get": func(in *instance, mod api.Module, p []uint64) uint64 {
		size := 0
		for _, v := range in.environ {
			size += len(v) + 1
		}
		return stored(mod.Memory().WriteUint32Le(uint32(p[0]), uint32(len(in.environ))) && mod.Memory().WriteUint32Le(uint32(p[1]), uint32(size)))
	},
	"clock_res_get": func(_ *instance, mod api.Module, p []uint64) uint64 {
		if uint32(p[0]) > 1 {
			return wasiInval
		}
		return stored(mod.Memory().WriteUint64Le(uint32(p[1]), 1))
	},
	"clock_time_get": func(_ *instance, mod api.Module, p []uint64) uint64 {
		now := time.Now().UnixNano()
		switch uint32(p[0]) {
		case 0:
		case 1:
			now = int64(time.Since(wasiBegan)) + 1
		default:
			return wasiInval
		}
		return stored(mod.Memory().WriteUint64Le(uint32(p[2]), uint64(now)))
	},
	"random_get": func(in *instance, mod api.Module, p []uint64) uint64 {
		in.charge(mod, int64(uint32(p[1]))*2)
		b, ok := mod.Memory().Read(uint32(p[0]), uint32(p[1]))
		if ok {
			_, _ = rand.Read(b) // it never fails
		}
		return stored(ok)
	},
	"fd_write": fdWrite,
	"fd_read": func(_ *instance, mod api.Module, p []uint64) uint64 {
		if uint32(p[0]) != 0 {
			return wasiBadf
		}
		return stored(mod.Memory().WriteUint32Le(uint32(p[3]), 0)) // it is empty
	},
	"fd_close": func(_ *instance, _ api.Module, p []uint64) uint64 { return standard(p[0]) },
	"fd_fdstat_get": func(_ *instance, mod api.Module, p []uint64) uint64 {
		stat, ok := mod.Memory().Read(uint32(p[1]), 24)
		if no := standard(p[0]); no != wasiOK || !ok {
			return max(no, stored(ok))
		}
		clear(stat)
		stat[0], stat[8] = 2, 1<<1|1<<6 // a character device, to be read and written
		return wasiOK
	},
	"fd_fdstat_set_flags": func(_ *instance, _ api.Module, p []uint64) uint64 { return standard(p[0]) },
	"poll_oneoff":         pollOneoff,
	"sched_yield":         func(*instance, api.Module, []uint64) uint64 { return wasiOK },
}

// wasiBegan is where the clock begins that only goes forward.
var wasiBegan = time.Now()

func stored(ok bool) uint64 {
	if !ok {
		return wasiFault
	}
	return wasiOK
}

// standard tells the three files that there are from all others.
func standard(fd uint64) uint64 {
	if uint32(fd) > 2 {
		return wasiBadf
	}
	return wasiOK
}

// wasiEnviron is what the runtime of Go reads. Its collector means to run beside the
// program, and in a module there is nothing beside: a cycle that begins within a call
// ends long after, and memory is used up while most of it is garbage. So a cycle is
// made to end where it begins, and begins in time.
func wasiEnviron(l *Limits) []string {
	return []string{"GODEBUG=gcstoptheworld=1", "GOMEMLIMIT=" + strconv.FormatInt(int64(l.Memory)/8*5, 10)}
}

func environGet(in *instance, mod api.Module, p []uint64) uint64 {
	at, text := uint32(p[0]), uint32(p[1])
	for i, v := range in.environ {
		if !mod.Memory().WriteUint32Le(at+4*uint32(i), text) || !mod.Memory().WriteString(text, v+"\x00") {
			return wasiFault
		}
		text += uint32(len(v)) + 1
	}
	return wasiOK
}

// fdWrite keeps what is written to the standard error, and forgets the output.
func fdWrite(in *instance, mod api.Module, p []uint64) uint64 {
	fd, list, n := uint32(p[0]), uint32(p[1]), uint32(p[2])
	if fd != 1 && fd != 2 {
		return wasiBadf
	}
	in.charge(mod, int64(n)*50)
	iovs, ok := mod.Memory().Read(list, min(n, 1<<28)*8)
	if !ok {
		return wasiFault
	}
	total := uint32(0)
	for ; len(iovs) >= 8; iovs = iovs[8:] {
		size := binary.LittleEndian.Uint32(iovs[4:])
		text, ok := mod.Memory().Read(binary.LittleEndian.Uint32(iovs), size)
		if !ok {
			return wasiFault
		}
		if total += size; fd == 2 {
			in.charge(mod, int64(min(size, 2*complaintSize))/4)
			_, _ = in.stderr.Write(text)
		}
	}
	return stored(mod.Memory().WriteUint32Le(uint32(p[3]), total))
}

// pollOneoff says that all has come that was waited for: nobody sleeps.
func pollOneoff(in *instance, mod api.Module, p []uint64) uint64 {
	n := uint32(p[2])
	if n == 0 || n > 64 {
		return wasiInval
	}
	asked, ok := mod.Memory().Read(uint32(p[0]), 48*n)
	if !ok {
		return wasiFault
	}
	events, ok := mod.Memory().Read(uint32(p[1]), 32*n)
	if !ok {
		return wasiFault
	}
	in.charge(mod, int64(n)*20)
	for i := range n {
		var event [32]byte
		copy(event[:8], asked[48*i:])
		event[10] = asked[48*i+8]
		copy(events[32*i:], event[:])
	}
	return stored(mod.Memory().WriteUint32Le(uint32(p[3]), n))
}

// addWASI gives a runtime the functions.
func addWASI(ctx context.Context, rt wazero.Runtime) error {
	b := rt.NewHostModuleBuilder(wasi)
	for name, signature := range wasiSignatures {
		var params, results []api.ValueType
		for _, c := range signature {
			params = append(params, map[rune]api.ValueType{'i': i32, 'I': i64}[c])
		}
		if name != "proc_exit" {
			results = []api.ValueType{i32}
		}
		f := wasiFunctions[name]
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			in := called(ctx, mod)
			switch {
			case name == "proc_exit":
				panic(sys.NewExitError(uint32(stack[0])))
			case f != nil:
				stack[0] = f(in, mod, stack)
			case len(name) > 3 && name[:3] == "fd_" && standard(stack[0]) != wasiOK:
				stack[0] = wasiBadf
			default:
				stack[0] = wasiNosys
			}
		}), params, results).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}
