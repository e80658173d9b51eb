package kernel

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestTheEnvironmentPinsTheLevel(t *testing.T) {
	for _, c := range []struct {
		name, env string
		option    Level
		want      Level
		fault     string
	}{
		{name: "no environment detects the best", want: Detect()},
		{name: "portable is pinned", env: "portable", want: Portable},
		{name: "an option beats the environment", env: "nonsense", option: Portable, want: Portable},
		{name: "an unknown name is an error", env: "sse9", fault: "TEMPERA_CPU"},
		{name: "an unknown option is an error", option: 17, fault: "unknown CPU level"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(EnvLevel, c.env)
			e, err := New(Options{Threads: 1, Level: c.option})
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("the error is %v, want one that names %s", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if e.Level() != c.want {
				t.Fatalf("the level is %v, want %v", e.Level(), c.want)
			}
		})
	}
}

func TestALevelThatTheCPULacksIsAnErrorThatNamesTheBest(t *testing.T) {
	var flag Level
	for _, name := range []string{"avx2", "avx512"} {
		if err := flag.Set(name); err != nil || flag.String() != name {
			t.Fatalf("the flag is %v after %s: %v", flag, name, err)
		}
		_, err := New(Options{Threads: 1, Level: flag})
		if supported(flag) {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), Detect().String()) {
			t.Fatalf("the error of %s is %v, want one that names %v", name, err, Detect())
		}
	}
	if flag.Set("sse9") == nil {
		t.Fatal("an unknown level is accepted")
	}
}

func TestEveryItemRunsOnceFromManyGoroutinesAndNested(t *testing.T) {
	e := newEngine(t, 3, Portable)
	var hits [50][20]atomic.Int32
	var wg sync.WaitGroup
	for i := range hits {
		wg.Go(func() {
			e.parallel(4, func(part int) {
				e.parallel(5, func(j int) { hits[i][part*5+j].Add(1) })
			})
		})
	}
	wg.Wait()
	for i := range hits {
		for j := range hits[i] {
			if n := hits[i][j].Load(); n != 1 {
				t.Fatalf("item %d of loop %d ran %d times", j, i, n)
			}
		}
	}
}

func TestOneEngineServesSeveralGoroutines(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for range 5 {
					a := gemmArgs(newSource(uint64(30+i)), gemmCase{65, 130, 70}, i)
					want := gemmRef(&a)
					e.Gemm(a)
					for j, v := range tight(a.C, a.M, a.N, a.LDC) {
						if math.Abs(float64(v)-want[j]) > 1e-3 {
							t.Errorf("goroutine %d: value %d is %v, want %v", i, j, v, want[j])
							return
						}
					}
				}
			})
		}
		wg.Wait()
	})
}

// Engines share nothing, so that two models of one process do not wait for each other.
func TestTwoEnginesWorkAtOnce(t *testing.T) {
	for _, l := range levels() {
		var wg sync.WaitGroup
		for i := range 2 {
			e := newEngine(t, 2, l)
			wg.Go(func() {
				for j := range 6 {
					a := gemmArgs(newSource(uint64(60+i)), []gemmCase{{70, 130, 600}, {3, 600, 70}}[j%2], j)
					want := gemmRef(&a)
					e.Gemm(a)
					for k, v := range tight(a.C, a.M, a.N, a.LDC) {
						if math.Abs(float64(v)-want[k]) > 1e-3 {
							t.Errorf("engine %d: value %d is %v, want %v", i, k, v, want[k])
							return
						}
					}
				}
			})
		}
		wg.Wait()
	}
}

// The generated code reads tileArgs and groupPack by offset.
func TestTileArgumentsLieWhereTheAssemblyReadsThem(t *testing.T) {
	var a tileArgs
	for i, off := range []uintptr{
		unsafe.Offsetof(a.k), unsafe.Offsetof(a.count), unsafe.Offsetof(a.a), unsafe.Offsetof(a.rs), unsafe.Offsetof(a.cs),
		unsafe.Offsetof(a.bStep), unsafe.Offsetof(a.b), unsafe.Offsetof(a.bPair), unsafe.Offsetof(a.c), unsafe.Offsetof(a.ldc), unsafe.Offsetof(a.residual),
		unsafe.Offsetof(a.ldResidual), unsafe.Offsetof(a.bias), unsafe.Offsetof(a.mask), unsafe.Offsetof(a.addToC), unsafe.Offsetof(a.ahead), unsafe.Offsetof(a.aheadK),
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && off != uintptr(8*i) {
			t.Fatalf("field %d lies at %d, want %d", i, off, 8*i)
		}
	}
	var g groupPack
	for i, off := range []uintptr{
		unsafe.Offsetof(g.dst), unsafe.Offsetof(g.src), unsafe.Offsetof(g.step), unsafe.Offsetof(g.ld), unsafe.Offsetof(g.width), unsafe.Offsetof(g.count), unsafe.Offsetof(g.k),
	} {
		if unsafe.Sizeof(uintptr(0)) == 8 && off != uintptr(8*i) {
			t.Fatalf("field %d of a pack lies at %d, want %d", i, off, 8*i)
		}
	}
}

func TestLevelsAgree(t *testing.T) {
	s := newSource(40)
	x := s.vec(4000)
	for i := range x {
		x[i] *= 3
	}
	portable := newEngine(t, 1, Portable)
	for _, l := range levels()[1:] {
		e := newEngine(t, 1, l)
		for act := GELUTanh; act < activations; act++ {
			want, got := make([]float32, len(x)), make([]float32, len(x))
			portable.Activate(ActivateArgs{Activation: act, N: len(x), X: x, Y: want})
			e.Activate(ActivateArgs{Activation: act, N: len(x), X: x, Y: got})
			for i, w := range want {
				if math.Abs(float64(got[i]-w)) > 1e-5*math.Abs(float64(w))+1e-36 {
					t.Fatalf("%v: activation %d of %v is %v, portable has %v", l, act, x[i], got[i], w)
				}
			}
		}
	}
}
