//go:build !gpu

package accelerator

import (
	"errors"

	"tempera/training/device"
)

var errNotBuilt = errors.New("this binary has no GPU backend: build it with `go tool task build:cuda`")

func list() ([]GPU, error) { return nil, errNotBuilt }

func open(int, string) (Backend, error) { return nil, errNotBuilt }

func group([]Backend) (device.Group, error) { return nil, errNotBuilt }

func isLost(error) bool { return false }

func isOutOfMemory(error) bool { return false }

func measure(GPU) (State, error) { return State{}, errNotBuilt }
