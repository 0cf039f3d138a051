package hookguest

// Debug, Info, Warn and Error write a line to the log of the operator, with
// flow, run and task added by the host: 1 KiB a line, 16 lines a call; what is
// beyond that is counted and dropped. Under go test the lines go to standard
// error.

// Debug logs what only someone who looks for a mistake wants to read.
func Debug(line string) { hostLog(0, line) }

// Info logs what an operator may want to know.
func Info(line string) { hostLog(1, line) }

// Warn logs what an operator should look at some time.
func Warn(line string) { hostLog(2, line) }

// Error logs what an operator should look at now.
func Error(line string) { hostLog(3, line) }
