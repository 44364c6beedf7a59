package lunatic

import "unsafe"

// The imports of docs/abi.md that this package needs. All Go functions share one namespace, so their names include that of the import.

//go:wasmimport lunatic::process spawn
func processSpawn(entry uint32, captured unsafe.Pointer, capturedLen uint32, options, out unsafe.Pointer) int32

//go:wasmimport lunatic::process captured
func processCaptured(to unsafe.Pointer, len uint32)

//go:wasmimport lunatic::process captured_len
func processCapturedLen() uint32

//go:wasmimport lunatic::process next
func processNext() int32

//go:wasmimport lunatic::process this
func processThis(out unsafe.Pointer)

//go:wasmimport lunatic::process parent
func processParent(out unsafe.Pointer) int32

//go:wasmimport lunatic::process is_alive
func processIsAlive(id, key uint64) int32

//go:wasmimport lunatic::process kill_handle
func processKill(id, key uint64) int32

//go:wasmimport lunatic::process join
func processJoin(id, key, timeout uint64) int32

//go:wasmimport lunatic::process sleep_ns
func processSleep(ns uint64)

//go:wasmimport lunatic::process exit
func processExit(reason unsafe.Pointer, len uint32)

//go:wasmimport lunatic::process trap_exit
func processTrapExit(on int32) int32

//go:wasmimport lunatic::mailbox send
func mailboxSend(id, key, tag uint64, message unsafe.Pointer, len uint32) int32

//go:wasmimport lunatic::mailbox receive
func mailboxReceive(tags unsafe.Pointer, tagsLen uint32, header, to unsafe.Pointer, capacity uint32, timeout uint64) int32

//go:wasmimport lunatic::mailbox reference
func mailboxReference(out unsafe.Pointer) int32

//go:wasmimport lunatic::mailbox close
func mailboxClose(reference uint64)

//go:wasmimport lunatic::mailbox call
func mailboxCall(id, key, tag uint64, message unsafe.Pointer, len uint32, reference, to unsafe.Pointer, capacity uint32, timeout uint64) int32

//go:wasmimport lunatic::channel new
func channelNew(bound uint64, out unsafe.Pointer) int32

//go:wasmimport lunatic::channel send
func channelSend(id, key uint64, message unsafe.Pointer, len uint32, timeout uint64) int32

//go:wasmimport lunatic::channel receive
func channelReceive(id, key uint64, to unsafe.Pointer, capacity uint32, timeout uint64) int32

//go:wasmimport lunatic::registry register
func registryRegister(name unsafe.Pointer, len uint32, id, key uint64) int32

//go:wasmimport lunatic::registry unregister
func registryUnregister(name unsafe.Pointer, len uint32) int32

//go:wasmimport lunatic::registry lookup
func registryLookup(name unsafe.Pointer, len uint32, out unsafe.Pointer) int32

//go:wasmimport lunatic::timer send_after
func timerSendAfter(id, key, tag uint64, message unsafe.Pointer, len uint32, delay, interval uint64, out unsafe.Pointer) int32

//go:wasmimport lunatic::timer cancel
func timerCancel(timer uint64) int32

//go:wasmimport lunatic::buffer len
func bufferLen() uint32

//go:wasmimport lunatic::buffer take
func bufferTake(to unsafe.Pointer, len uint32)

//go:wasmimport lunatic::buffer put
func bufferPut(from unsafe.Pointer, len uint32) int32
