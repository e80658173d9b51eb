package kernel

import (
	"fmt"
	"os"
)

// Level is a set of CPU instructions that an engine may use.
type Level int

// The levels, from the slowest. Auto takes the environment variable TEMPERA_CPU if it is set, else Detect.
const (
	Auto Level = iota
	Portable
	AVX2
	AVX512
)

// EnvLevel names the environment variable that pins the level of engines made with Auto: portable, avx2 or avx512.
const EnvLevel = "TEMPERA_CPU"

var levelNames = [...]string{"auto", "portable", "avx2", "avx512"}

func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("level(%d)", int(l))
	}
	return levelNames[l]
}

// ParseLevel reads a level's name; the empty string is Auto.
func ParseLevel(s string) (Level, error) {
	if s == "" {
		return Auto, nil
	}
	for i, n := range levelNames {
		if s == n {
			return Level(i), nil
		}
	}
	return Auto, fmt.Errorf("unknown CPU level %q: use portable, avx2 or avx512", s)
}

// Set reads a level's name: with String and Type it makes a level a command line flag.
func (l *Level) Set(s string) (err error) {
	*l, err = ParseLevel(s)
	return err
}

// Type names the flag's type.
func (l *Level) Type() string { return "level" }

// Detect returns the fastest level of this CPU.
func Detect() Level {
	for _, l := range []Level{AVX512, AVX2} {
		if supported(l) {
			return l
		}
	}
	return Portable
}

// Resolve returns the level that an engine of this level would use. One that is unknown or that this CPU lacks is an error.
func (l Level) Resolve() (Level, error) {
	if l == Auto {
		env, err := ParseLevel(os.Getenv(EnvLevel))
		if err != nil {
			return Auto, fmt.Errorf("read %s: %w", EnvLevel, err)
		}
		if env == Auto {
			return Detect(), nil
		}
		l = env
	}
	if l < Portable || l > AVX512 {
		return Auto, fmt.Errorf("unknown CPU level %v: use portable, avx2 or avx512", l)
	}
	if l != Portable && !supported(l) {
		return Auto, fmt.Errorf("CPU level %v is not supported by this machine: the best it has is %v", l, Detect())
	}
	return l, nil
}
