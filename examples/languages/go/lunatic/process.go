// Package lunatic provides processes, messages, channels, names and timers for Go programs (GOOS=wasip1).
//
// Each process is a separate Go program, with its own memory, garbage collector and goroutines. A child starts as the program does,
// with the initial values of package variables; Main then calls the entry that the child was spawned with, instead of the program's
// main function. Pass data to a child as captured bytes, or in messages.
//
// A function of this package that waits stops all goroutines of its process, but no other process.
package lunatic

import (
	"encoding/binary"
	"time"
	"unsafe"
)

// Handle identifies a process or a channel. It can be captured, sent and compared.
type Handle struct{ ID, Key uint64 }

// HandleSize is the number of bytes of a Handle.
const HandleSize = 16

// Bytes returns the bytes of the handle, for a message.
func (h Handle) Bytes() []byte {
	bytes := binary.LittleEndian.AppendUint64(nil, h.ID)
	return binary.LittleEndian.AppendUint64(bytes, h.Key)
}

// HandleOf decodes a handle from the first HandleSize bytes.
func HandleOf(bytes []byte) Handle {
	return Handle{binary.LittleEndian.Uint64(bytes), binary.LittleEndian.Uint64(bytes[8:])}
}

// Entry is the function that a child calls; see NewEntry.
type Entry struct {
	name string
	body func(captured []byte)
}

var entries = map[string]*Entry{}

// NewEntry makes an entry for processes. Call it to initialize a package variable, so that each process of the program has the same
// entries. Names must be unique.
func NewEntry(name string, body func(captured []byte)) *Entry {
	if _, taken := entries[name]; taken {
		panic("lunatic: there are two entries " + name)
	}
	entry := &Entry{name, body}
	entries[name] = entry
	return entry
}

// Main must be called by the program's main function, which does nothing else. It calls main in the main process, and its entry in a
// child.
func Main(main func()) {
	var parent Handle
	if processParent(unsafe.Pointer(&parent)) != 0 {
		main()
		return
	}
	bytes := make([]byte, processCapturedLen())
	processCaptured(at(bytes), uint32(len(bytes)))
	nameLen := binary.LittleEndian.Uint16(bytes)
	entry := entries[string(bytes[2:2+nameLen])]
	entry.body(bytes[2+nameLen:])
}

// The address of `_start`; see start_wasm.s.
var start uint64

// Options of a spawn; with the zero value, the child has the parent's limits and rights.
type Options struct {
	Link, Monitor, TrapExit, NewScope bool
	// The tag of the notification about its exit if it is monitored; 0 means the monitor's reference.
	MonitorTag uint64
	// Entries `KEY` or `KEY=VALUE`, each followed by a zero byte.
	Config string
	// Bytes of memory. A Go process needs more than 2 MiB to start.
	MaxMemory uint64
}

// Spawned is a child, and the reference of its monitor.
type Spawned struct {
	Process   Handle
	Reference uint64
}

// Spawn spawns a process that calls the entry with the captured bytes. These can have 64 KiB, including the entry's name.
func Spawn(entry *Entry, captured []byte) (Handle, error) {
	spawned, err := SpawnWith(entry, captured, Options{})
	return spawned.Process, err
}

// SpawnWith is Spawn with options, which take effect before the child runs.
func SpawnWith(entry *Entry, captured []byte, options Options) (Spawned, error) {
	// The host needs this import in a program that spawns, and linkers drop imports that are not called.
	processNext()
	var flags uint32
	for bit, on := range []bool{options.Link, options.Monitor, options.TrapExit, options.NewScope} {
		if on {
			flags |= 1 << bit
		}
	}
	config := []byte(options.Config)
	var raw [56]byte
	binary.LittleEndian.PutUint32(raw[0:], flags)
	binary.LittleEndian.PutUint64(raw[16:], options.MaxMemory)
	binary.LittleEndian.PutUint64(raw[32:], options.MonitorTag)
	binary.LittleEndian.PutUint64(raw[40:], uint64(uintptr(at(config))))
	binary.LittleEndian.PutUint32(raw[48:], uint32(len(config)))
	bytes := binary.LittleEndian.AppendUint16(nil, uint16(len(entry.name)))
	bytes = append(append(bytes, entry.name...), captured...)
	var spawned Spawned
	code := processSpawn(uint32(start>>16), at(bytes), uint32(len(bytes)), unsafe.Pointer(&raw), unsafe.Pointer(&spawned))
	keep(config)
	return spawned, check(code)
}

// This returns the calling process.
func This() Handle {
	var out Handle
	processThis(unsafe.Pointer(&out))
	return out
}

// IsAlive returns whether a process has not exited.
func IsAlive(process Handle) (bool, error) {
	code := processIsAlive(process.ID, process.Key)
	return code == 1, check(code)
}

// Kill kills a process wherever its execution is.
func Kill(process Handle) error { return check(processKill(process.ID, process.Key)) }

// Kinds of reasons.
const (
	Normal = 0
	Exited = 1
	Killed = 4
	Failed = 7
)

// Reason is an exit reason. A Go program that panics exits with code 2.
type Reason struct {
	Kind, Detail int32
	Text         string
}

// ReasonOf decodes the body of mail about the exit of a process.
func ReasonOf(bytes []byte) Reason {
	kind, detail := binary.LittleEndian.Uint32(bytes), binary.LittleEndian.Uint32(bytes[4:])
	return Reason{int32(kind), int32(detail), string(bytes[8:])}
}

// Join waits until a process has exited.
func Join(process Handle, timeout time.Duration) (Reason, error) {
	if err := check(processJoin(process.ID, process.Key, nanoseconds(timeout))); err != nil {
		return Reason{}, err
	}
	return ReasonOf(take()), nil
}

// Fail exits the calling process with an error.
func Fail(text string) {
	bytes := binary.LittleEndian.AppendUint32(nil, Failed)
	bytes = append(binary.LittleEndian.AppendUint32(bytes, 0), text...)
	processExit(at(bytes), uint32(len(bytes)))
}

// TrapExits makes exit signals become mail.
func TrapExits() { processTrapExit(1) }

// Sleep blocks the whole process; time.Sleep blocks one goroutine.
func Sleep(time time.Duration) { processSleep(nanoseconds(time)) }
