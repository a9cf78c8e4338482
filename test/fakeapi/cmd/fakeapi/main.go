// Command fakeapi serves the stand-in for the Messages API on a loopback address until it is told to stop. It prints
// nothing: the port that it got is written to a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/test/fakeapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fakeapi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:0", "loopback `address` to serve on; port 0 takes a free one")
	portFile := flag.String("port-file", "", "`file` to write the port to, once it answers")
	command := flag.String("command", "", "shell `command` to run for prompts without a marker")
	logFile := flag.String("log", "", "`file` to append one line of JSON per request to")
	flag.Parse()

	script := fakeapi.Script{Command: *command}
	if *logFile != "" {
		f, err := os.OpenFile(*logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		script.Log = f
	}
	address, err := net.ResolveTCPAddr("tcp", *listen)
	if err != nil {
		return err
	}
	if !address.IP.IsLoopback() {
		return fmt.Errorf("%s is not a loopback address", *listen)
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: fakeapi.Handler(script), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if *portFile != "" {
		if err := writePort(*portFile, listener.Addr().(*net.TCPAddr).Port); err != nil {
			return err
		}
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// writePort puts the file in place whole: who waits for it never reads half a number.
func writePort(path string, port int) error {
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
