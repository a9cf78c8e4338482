package proc

import (
	"os"
	"syscall"
)

func attributes(c Cmd) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: !c.Foreground}
	if c.MapUser != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: c.MapUser, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: c.MapUser, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}
