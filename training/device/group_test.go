package device_test

import (
	"errors"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/device/devicetest"
)

func TestAGroupOverTheHostExchangesValues(t *testing.T) {
	for name, heaps := range map[string][]device.Heap{
		"of one":                         {device.HostHeap()},
		"of two":                         {device.HostHeap(), device.OpaqueHeap()},
		"of three with memory of theirs": {device.OpaqueHeap(), device.OpaqueHeap(), device.OpaqueHeap()},
	} {
		t.Run(name, func(t *testing.T) {
			var backends []device.Backend
			for _, h := range heaps {
				backends = append(backends, newCPU(t, h))
			}
			devicetest.RunGroup(t, device.NewHostGroup(backends...))
		})
	}
}

func TestEveryRanksErrorAndPanicSurface(t *testing.T) {
	first, last := errors.New("the first"), errors.New("the last")
	err := device.Each(3, func(rank int) error { return []error{first, nil, last}[rank] })
	if !errors.Is(err, first) || !errors.Is(err, last) {
		t.Fatalf("the errors of ranks 0 and 2 are %v", err)
	}
	defer func() {
		if p, ok := recover().(string); !ok || !strings.Contains(p, "rank 1: a broken invariant") || !strings.Contains(p, "group_test.go") {
			t.Fatalf("the panic of rank 1 is %v", p)
		}
	}()
	_ = device.Each(2, func(rank int) error {
		if rank == 1 {
			panic("a broken invariant")
		}
		return nil
	})
	t.Fatal("the panic of rank 1 is lost")
}

func TestValuesThatNoGroupExchangesPanic(t *testing.T) {
	a, b := newCPU(t, device.HostHeap()), newCPU(t, device.HostHeap())
	g := device.NewHostGroup(a, b)
	of := func(m device.Backend, d device.Desc) []*device.Value {
		v, err := device.New(m, d)
		check(t, err)
		return []*device.Value{v}
	}
	two := of(a, device.Floats(2))
	for what, values := range map[string][][]*device.Value{
		"the values of 1 ranks for 2":               {two},
		"rank 1 has 0 values, the root 1":           {two, nil},
		"value 0 is float32[3] on rank 1":           {two, of(b, device.Floats(3))},
		"int32[2] on rank 1 and float32[2] on the ": {two, of(b, device.Ints(2))},
	} {
		func() {
			defer func() {
				if p, ok := recover().(string); !ok || !strings.Contains(p, what) {
					t.Errorf("want a panic with %q, got %v", what, p)
				}
			}()
			_ = g.Reduce(values)
			t.Errorf("no panic with %q", what)
		}()
	}
}
