//go:build gpu

package cuda

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/device/cuda/driver"
	"tempera/training/device/cuda/nccl"
	"tempera/training/device/devicetest"
)

// openAll opens several devices, or skips the test where there are fewer. The fake has as many as are asked for.
func openAll(t *testing.T, n int, p Precision) []*Backend {
	t.Helper()
	if err := driver.Unavailable(); err != nil && os.Getenv("REQUIRE_GPU") == "" {
		t.Skip(err)
	}
	t.Setenv("FAKE_CUDA_DEVICES", fmt.Sprint(n))
	if have, err := driver.Count(); err != nil || have < n {
		t.Skipf("this machine has %d GPUs (%v)", have, err)
	}
	var all []*Backend
	for i := range n {
		b, err := Open(Options{Ordinal: i, Precision: p})
		check(t, err)
		t.Cleanup(func() { check(t, b.Close()) })
		all = append(all, b)
	}
	return all
}

// grouped is a group of devices, by NCCL or over the host.
func grouped(t *testing.T, library string, backends ...*Backend) device.Group {
	t.Helper()
	if library != "" {
		t.Setenv("TEMPERA_LIBNCCL", library)
	}
	g, err := NewGroup(backends...)
	check(t, err)
	t.Cleanup(func() { check(t, g.Close()) })
	return g
}

func TestGroupsOfGPUsExchangeValues(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d by NCCL", n), func(t *testing.T) {
			g := grouped(t, "", openAll(t, n, Full)...)
			if !strings.HasPrefix(g.Name(), "NCCL") {
				t.Fatalf("the group is %s", g.Name())
			}
			devicetest.RunGroup(t, g)
		})
	}
	t.Run("over the host", func(t *testing.T) {
		g := grouped(t, "none", openAll(t, 2, Mixed)...)
		if want := "the host, for 2 devices (NCCL is not to be found: TEMPERA_LIBNCCL is none)"; g.Name() != want {
			t.Fatalf("the group is %s", g.Name())
		}
		devicetest.RunGroup(t, g)
	})
}

// Products read copies of parameters in bfloat16, which an exchange does not write.
func TestProductsSeeWhatWasBroadcast(t *testing.T) {
	for _, library := range []string{"", "none"} {
		backends := openAll(t, 2, Mixed)
		g := grouped(t, library, backends...)
		const n = 8
		ones := make([]float32, n*n)
		for i := range ones {
			ones[i] = 1
		}
		var weights, products []*device.Value
		for _, b := range backends {
			w, err := device.FromFloats(b, make([]float32, n*n), n, n)
			check(t, err)
			y, err := device.New(b, device.Floats(n, n))
			check(t, err)
			weights, products = append(weights, w), append(products, y)
		}
		multiply := func() []float32 {
			b := backends[1]
			b.Gemm(device.GemmArgs{M: n, N: n, K: n, A: weights[1], B: weights[1], C: products[1]})
			y, err := device.ReadFloats(b, products[1])
			check(t, err)
			return y
		}
		if got := multiply(); got[0] != 0 {
			t.Fatalf("the product of zeros is %v", got[0])
		}
		check(t, backends[0].UploadFloats(weights[0], ones))
		check(t, g.Broadcast([][]*device.Value{weights[:1], weights[1:]}))
		if got := multiply(); got[0] != n {
			t.Errorf("the product of ones is %v: it has multiplied the parameter as it was before the broadcast", got[0])
		}
	}
}

func TestMemoryOfAnotherDeviceIsAnError(t *testing.T) {
	onFake(t)
	backends := openAll(t, 2, Full)
	of := func(b *Backend) *device.Value {
		v, err := device.FromFloats(b, make([]float32, 64), 8, 8)
		check(t, err)
		return v
	}
	own, other := of(backends[0]), of(backends[1])
	for what, use := range map[string]func(){
		"a kernel":  func() { backends[0].Add(own, own, other) },
		"a copy":    func() { backends[0].Copy(own, other) },
		"a product": func() { backends[0].Gemm(device.GemmArgs{M: 8, N: 8, K: 8, A: own, B: other, C: own}) },
	} {
		use()
		if err := backends[0].Sync(); err == nil {
			t.Errorf("%s of device 0 used memory of device 1", what)
		}
	}
	comms, err := nccl.Open([]*driver.Device{backends[0].device, backends[1].device})
	check(t, err)
	p := func(v *device.Value) driver.Pointer { return driver.Pointer(v.Buffer().Address()) }
	if err := comms.Reduce([]nccl.Value{{Addresses: []driver.Pointer{p(own), p(own)}, Size: 64}}); err == nil || !strings.Contains(err.Error(), "invalid argument") {
		t.Errorf("device 1 reduced memory of device 0: %v", err)
	}
	check(t, comms.Reduce([]nccl.Value{{Addresses: []driver.Pointer{p(own), p(other)}, Size: 64}}))
	check(t, comms.Close())
}

func TestWorkGoesOnInTheRightContextAfterAnExchange(t *testing.T) {
	backends := openAll(t, 2, Full)
	comms, err := nccl.Open([]*driver.Device{backends[0].device, backends[1].device})
	check(t, err)
	v := nccl.Value{Size: 1}
	var values []*device.Value
	for _, b := range backends {
		one, err := device.FromFloats(b, []float32{1}, 1)
		check(t, err)
		values, v.Addresses = append(values, one), append(v.Addresses, address(one, device.Float32))
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, exchange := range []func(*nccl.Comms, []nccl.Value) error{(*nccl.Comms).Reduce, (*nccl.Comms).Broadcast} {
		check(t, exchange(comms, []nccl.Value{v}))
		backends[0].Scale(values[0], values[0], 2)
		check(t, backends[0].Sync())
	}
	check(t, comms.Close())
	backends[0].Scale(values[0], values[0], 2)
	check(t, backends[0].Sync())
}

func TestMoreValuesThanACallTakes(t *testing.T) {
	backends := openAll(t, 2, Full)
	const n = 2500
	values := make([][]*device.Value, 2)
	for rank, b := range backends {
		whole, err := device.FromFloats(b, slices.Repeat([]float32{float32(rank + 1)}, n), n)
		check(t, err)
		for i := range n {
			values[rank] = append(values[rank], device.NewValue(device.Floats(1), whole.Buffer(), i))
		}
	}
	check(t, grouped(t, "", backends...).Reduce(values))
	for _, i := range []int{0, 1023, 1024, n - 1} {
		x, err := device.ReadFloats(backends[0], values[0][i])
		check(t, err)
		if x[0] != 3 {
			t.Errorf("value %d is %v, want 3", i, x[0])
		}
	}
}

func TestALostDeviceEndsAnExchange(t *testing.T) {
	onFake(t)
	backends := openAll(t, 2, Full)
	g := grouped(t, "", backends...)
	v := make([][]*device.Value, 2)
	for rank, b := range backends {
		one, err := device.FromFloats(b, []float32{1}, 1)
		check(t, err)
		v[rank] = []*device.Value{one}
	}
	backends[1].fail(&driver.Error{Code: 214, Call: "sync"}) // an uncorrectable error of its memory
	if err := g.Reduce(v); !driver.IsLost(err) {
		t.Fatalf("a lost device gives %v", err)
	}
	if err := g.Reduce(v); err == nil || !strings.Contains(err.Error(), "has failed before") {
		t.Fatalf("the group goes on: %v", err)
	}
}

func TestALibraryThatIsNamedMustBeThere(t *testing.T) {
	backends := openAll(t, 2, Full)
	t.Setenv("TEMPERA_LIBNCCL", "/no/such/libnccl.so")
	if _, err := NewGroup(backends...); err == nil || !strings.Contains(err.Error(), "load NCCL, which TEMPERA_LIBNCCL names") {
		t.Errorf("a file that is not there gives %v", err)
	}
}
