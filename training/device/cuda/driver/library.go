//go:build gpu

package driver

/*
#cgo LDFLAGS: -L${SRCDIR}/lib -ldl
int driver_status(void);
const char *driver_message(void);
const char *driver_path(void);
*/
import "C"

import "fmt"

// Unavailable says why this process has no CUDA; nil if it has.
func Unavailable() error {
	switch s := int(C.driver_status()); s {
	case 0:
		return nil
	case -1:
		return fmt.Errorf("no NVIDIA driver: libcuda.so.1 is not to be loaded (%s)", C.GoString(C.driver_message()))
	default:
		return fmt.Errorf("an NVIDIA driver that cannot be used: %s", C.GoString(C.driver_message()))
	}
}

// Library is the file that the driver was loaded from.
func Library() string { return C.GoString(C.driver_path()) }
