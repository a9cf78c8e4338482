package cli_test

import (
	"fmt"
	"net"
	"os"
)

// greet SOCKET greets everybody who connects to a socket, as GnuPG's agent does.
func greet() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		if conn, err := listener.Accept(); err == nil {
			fmt.Fprintln(conn, "OK Pleased to meet you")
			conn.Close()
		}
	}
}
