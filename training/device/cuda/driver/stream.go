//go:build gpu

package driver

/*
#include "enter.h"

// Arguments come packed: one call, no allocation, no pointer of Go within memory of Go.
static CUresult driver_launch(CUcontext c, CUstream s, CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, void *arguments, size_t bytes) {
  void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, arguments, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  CUresult r = driver_enter(c);
  return r ? r : cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, s, 0, extra);
}
static CUresult driver_shared(CUcontext c, CUfunction f, int bytes) {
  CUresult r = driver_enter(c);
  return r ? r : cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
}
static CUresult driver_shared_bytes(CUcontext c, CUfunction f, int *bytes) {
  CUresult r = driver_enter(c);
  return r ? r : cuFuncGetAttribute(bytes, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, f);
}
static CUresult driver_to_device(CUcontext c, CUstream s, CUdeviceptr to, const void *from, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemcpyHtoDAsync(to, from, n, s);
}
static CUresult driver_to_host(CUcontext c, CUstream s, void *to, CUdeviceptr from, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemcpyDtoHAsync(to, from, n, s);
}
static CUresult driver_copy(CUcontext c, CUstream s, CUdeviceptr to, CUdeviceptr from, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemcpyDtoDAsync(to, from, n, s);
}
static CUresult driver_clear(CUcontext c, CUstream s, CUdeviceptr p, size_t n) {
  CUresult r = driver_enter(c);
  return r ? r : cuMemsetD8Async(p, 0, n, s);
}
static CUresult driver_sync(CUcontext c, CUstream s) {
  CUresult r = driver_enter(c);
  return r ? r : cuStreamSynchronize(s);
}
static CUresult driver_event(CUcontext c, CUevent *e, unsigned flags) {
  CUresult r = driver_enter(c);
  return r ? r : cuEventCreate(e, flags);
}
static CUresult driver_record(CUcontext c, CUevent e, CUstream s) {
  CUresult r = driver_enter(c);
  return r ? r : cuEventRecord(e, s);
}
static CUresult driver_wait(CUcontext c, CUstream s, CUevent e) {
  CUresult r = driver_enter(c);
  return r ? r : cuStreamWaitEvent(s, e, 0);
}
static CUresult driver_event_sync(CUcontext c, CUevent e) {
  CUresult r = driver_enter(c);
  return r ? r : cuEventSynchronize(e);
}
static CUresult driver_event_destroy(CUcontext c, CUevent e) {
  CUresult r = driver_enter(c);
  return r ? r : cuEventDestroy(e);
}
static CUresult driver_begin(CUcontext c, CUstream s) {
  CUresult r = driver_enter(c);
  return r ? r : cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_RELAXED);
}
// Ends a recording and makes a graph of it that can be launched.
static CUresult driver_end(CUcontext c, CUstream s, CUgraphExec *x) {
  CUgraph g = 0;
  CUresult r = driver_enter(c);
  if (r || (r = cuStreamEndCapture(s, &g))) return r;
  r = cuGraphInstantiateWithFlags(x, g, 0);
  cuGraphDestroy(g);
  return r;
}
static CUresult driver_replay(CUcontext c, CUgraphExec x, CUstream s) {
  CUresult r = driver_enter(c);
  return r ? r : cuGraphLaunch(x, s);
}
*/
import "C"

import (
	"encoding/binary"
	"math"
	"time"
	"unsafe"
)

// Args are a kernel's arguments, packed as its parameters lie in memory: each at a multiple of its size.
type Args struct {
	bytes [1024]byte
	n     int
}

// Reset forgets all arguments.
func (a *Args) Reset() *Args { a.n = 0; return a }

func (a *Args) next(size int) []byte {
	a.n = (a.n+size-1)&^(size-1) + size
	return a.bytes[a.n-size : a.n]
}

// Pointer adds an address.
func (a *Args) Pointer(p Pointer) *Args {
	binary.LittleEndian.PutUint64(a.next(8), uint64(p))
	return a
}

// Int64 adds an i64.
func (a *Args) Int64(v int) *Args { binary.LittleEndian.PutUint64(a.next(8), uint64(v)); return a }

// Int adds an int.
func (a *Args) Int(v int) *Args {
	if v != int(int32(v)) {
		panic("driver: an argument does not fit an int")
	}
	binary.LittleEndian.PutUint32(a.next(4), uint32(int32(v)))
	return a
}

// Float adds a float.
func (a *Args) Float(v float32) *Args {
	binary.LittleEndian.PutUint32(a.next(4), math.Float32bits(v))
	return a
}

// Bool adds an int of 0 or 1.
func (a *Args) Bool(v bool) *Args {
	if v {
		return a.Int(1)
	}
	return a.Int(0)
}

// Grid is how many blocks, of how many threads, with how many bytes of dynamic shared memory. An extent of 0 means 1.
type Grid struct {
	X, Y, Z            int
	ThreadsX, ThreadsY int
	Shared             int
}

// Launch asks for a kernel.
func (s Stream) Launch(f Function, g Grid, a *Args) error {
	one := func(n int) C.uint { return C.uint(max(n, 1)) }
	arguments := unsafe.Pointer(&a.bytes) // a variable: cgo would copy the array to check a pointer that it is given in place
	return failed("launch", C.driver_launch(s.device.c(), s.s, f.c(), one(g.X), one(g.Y), one(g.Z), one(g.ThreadsX), one(g.ThreadsY), 1,
		C.uint(g.Shared), arguments, C.size_t(a.n)))
}

// SharedBytes is the shared memory of a kernel's own arrays.
func (d *Device) SharedBytes(f Function) (int, error) {
	var n C.int
	err := failed("shared memory of a kernel", C.driver_shared_bytes(d.c(), f.c(), &n))
	return int(n), err
}

// AllowShared lets a kernel have more than 48 KiB of dynamic shared memory.
func (d *Device) AllowShared(f Function, bytes int) error {
	return failed("shared memory", C.driver_shared(d.c(), f.c(), C.int(bytes)))
}

// ToDevice copies from pinned memory.
func (s Stream) ToDevice(to Pointer, from []byte) error {
	return failed("copy to the device", C.driver_to_device(s.device.c(), s.s, C.CUdeviceptr(to), unsafe.Pointer(unsafe.SliceData(from)), C.size_t(len(from))))
}

// ToHost copies to pinned memory.
func (s Stream) ToHost(to []byte, from Pointer) error {
	return failed("copy to the host", C.driver_to_host(s.device.c(), s.s, unsafe.Pointer(unsafe.SliceData(to)), C.CUdeviceptr(from), C.size_t(len(to))))
}

// Copy copies within the device.
func (s Stream) Copy(to, from Pointer, bytes int) error {
	return failed("copy", C.driver_copy(s.device.c(), s.s, C.CUdeviceptr(to), C.CUdeviceptr(from), C.size_t(bytes)))
}

// Clear sets bytes to zero.
func (s Stream) Clear(p Pointer, bytes int) error {
	return failed("clear", C.driver_clear(s.device.c(), s.s, C.CUdeviceptr(p), C.size_t(bytes)))
}

// Sync waits for all work and returns the first fault.
func (s Stream) Sync() error { return failed("sync", C.driver_sync(s.device.c(), s.s)) }

// Handle is the stream for libraries that take a cudaStream_t.
func (s Stream) Handle() unsafe.Pointer { return unsafe.Pointer(s.s) }

// Event is a point in a stream.
type Event struct {
	device *Device
	e      C.CUevent
}

// NewEvent makes an event. Timed ones can be subtracted.
func (d *Device) NewEvent(timed bool) (Event, error) {
	e, flags := Event{device: d}, C.uint(C.CU_EVENT_DISABLE_TIMING)
	if timed {
		flags = C.CU_EVENT_DEFAULT
	}
	return e, failed("event", C.driver_event(d.c(), &e.e, flags))
}

// Record puts the event behind the work that the stream has been asked for.
func (s Stream) Record(e Event) error {
	return failed("record", C.driver_record(s.device.c(), e.e, s.s))
}

// Wait lets later work of the stream wait for an event.
func (s Stream) Wait(e Event) error { return failed("wait", C.driver_wait(s.device.c(), s.s, e.e)) }

// Sync waits for an event. One that was never recorded is past.
func (e Event) Sync() error { return failed("event sync", C.driver_event_sync(e.device.c(), e.e)) }

// Close forgets an event.
func (e Event) Close() error {
	return failed("end of an event", C.driver_event_destroy(e.device.c(), e.e))
}

// Since is the time between two timed events that are past.
func (e Event) Since(earlier Event) (time.Duration, error) {
	var ms C.float
	err := failed("event time", C.cuEventElapsedTime(&ms, earlier.e, e.e))
	return time.Duration(float64(ms) * float64(time.Millisecond)), err
}

// Recording is work that the device does again at a single call.
type Recording struct {
	stream Stream
	x      C.CUgraphExec
}

// BeginRecording begins a recording: until EndRecording, what the stream is asked for is recorded and not done, and nothing may wait for it. Goroutines may change
// threads, so the driver's checks of the thread are off.
func (s Stream) BeginRecording() error {
	return failed("begin of a recording", C.driver_begin(s.device.c(), s.s))
}

// EndRecording ends it. Its work has not been done.
func (s Stream) EndRecording() (*Recording, error) {
	r := &Recording{stream: s}
	return r, failed("end of a recording", C.driver_end(s.device.c(), s.s, &r.x))
}

// Replay asks for the recorded work.
func (r *Recording) Replay() error {
	return failed("replay", C.driver_replay(r.stream.device.c(), r.x, r.stream.s))
}

// Close forgets the recording.
func (r *Recording) Close() error {
	if r.x == nil {
		return nil
	}
	return failed("end of a graph", C.cuGraphExecDestroy(r.x))
}
