#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# A client that knows nothing of kvmlog but docs/rpc.md: one line per answer.
use strict;
use warnings;
use RPC::XML;
use RPC::XML::Client;

my $host = RPC::XML::Client->new($ARGV[0]);

sub ask {
    my $reply = $host->send_request(@_);
    die "no reply to $_[0]: $reply\n" unless ref $reply;
    die "fault " . $reply->code . ': ' . $reply->string . "\n" if $reply->is_fault;
    return $reply->value;
}

my $methods = ask('system.listMethods');
print 'methods ', join(',', grep { !/^system/ } @$methods), "\n";
print 'legacy ', ask('kvmLogSwitch', 'on'), "\n";
my $granted = ask(
    'kvmSwitch',
    { on => RPC::XML::boolean->new('true'), for_s => RPC::XML::int->new(60), one_in => 10 }
);
print "switch on=$granted->{on} for_s=$granted->{for_s} one_in=$granted->{one_in}\n";

# The newest three as a block: "<8sHHIII16sQQQQQQQQQi" and 12 bytes to the header's end.
my $page = ask('kvmRecords', { count => 3 });
my ($magic, $version, $header, $schema, $size, $count, $ring, $first, $next) =
    unpack('a8 v v V V V H32 Q< Q<', $page->{records});
print "block $magic $version count=$count ring=", ($ring eq $page->{ring_id} ? 'same' : 'other');
print " first=$first next=$next bytes=", length($page->{records}) - $header - $count * $size, "\n";
for my $number (0 .. $count - 1) {
    my $record = substr $page->{records}, $header + $number * $size, $size;
    my ($type, $exit_ns) = (unpack('C', $record), unpack('x8 Q<', $record));
    print "record type=$type exit_ns=$exit_ns\n";
}

my $told = ask('kvmStatistics', { by => ['reason'] });
print "statistics exits=$told->{exits} rows=", scalar @{ $told->{rows} };
print " $_->{reason_name}=$_->{count}" for @{ $told->{rows} };
print "\n";
my $refused = $host->send_request('kvmSwitch', { on => RPC::XML::boolean->new('true'), won_in => 2 });
print 'fault ', $refused->code, ' ', $refused->string, "\n";
