// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvmlog-port: copies its input to Bochs's port 0xE9, from which it goes to the
 * emulator's output at once; a serial port would take its time for each byte.
 */
#include <stdio.h>
#include <sys/io.h>
#include <unistd.h>

#define PORT 0xe9

int main(void)
{
	static unsigned char buffer[1 << 16];
	ssize_t bytes;

	if (iopl(3)) {
		perror("kvmlog-port: iopl");
		return 1;
	}
	while ((bytes = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
		outsb(PORT, buffer, (unsigned long)bytes);
	return bytes < 0;
}
