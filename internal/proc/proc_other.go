//go:build !linux

package proc

import "syscall"

func attributes(c Cmd) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !c.Foreground}
}
