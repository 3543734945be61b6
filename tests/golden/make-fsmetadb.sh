#!/bin/sh
# Makes a golden database and the listing of each of its generations:
#
#   tests/golden/make-fsmetadb.sh FSMETA PREFIX     ->  PREFIX.db  PREFIX@1.jsonl ...
#
# As root: the tree lies on a file system of its own (a loop device in a mount
# namespace of this script's), the machine is called "recorder", and the scans run
# as a user who may not read everything.
set -eu

if [ "${FSMETA_GOLDEN_STAGE:-}" != inside ]; then
	FSMETA=$(realpath "$1") PREFIX=$(realpath -m "$2") FSMETA_GOLDEN_STAGE=inside
	export FSMETA PREFIX FSMETA_GOLDEN_STAGE
	exec unshare --mount --uts sh "$0"
fi

umask 022
hostname recorder
mount -t tmpfs tmpfs /mnt
mkdir /mnt/archive
echo 0123456789abcdef0123456789abcdef >/mnt/machine-id
mount --bind /mnt/machine-id /etc/machine-id
truncate -s 8M /mnt/image
mkfs.ext4 -q -O ^has_journal -U 11111111-2222-3333-4444-555555555555 -L archive /mnt/image
mount -o loop,nosuid /mnt/image /mnt/archive
install -d -o nobody /mnt/db
cp "$FSMETA" /mnt/fsmeta
T=/mnt/archive
rmdir $T/lost+found

scan() {
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		/mnt/fsmeta scan $T --db /mnt/db/golden.db "$@" || [ $? = 2 ]
}

fill() { # PATH BYTES
	head -c "$2" /dev/zero >"$1"
}

date=1700000000
age() { # PATH...: a time of its own for each
	for path; do
		date=$((date + 86399))
		touch -h -d "@$date.123456789" "$path"
	done
}

# 1: all there is
mkdir -p $T/cam1/2026-01-01 $T/cam1/2026-01-02 $T/cam2 $T/empty $T/private $T/odd $T/a/b/c/d/e $T/mnt
for n in 1 2 3 4 5 6 7 8; do
	fill $T/cam1/2026-01-01/170000000${n}_video.rf1p $((n * 1000))
	fill $T/cam2/000000$n.mp4 $((n * 4096))
done
fill $T/cam1/2026-01-02/x.mp4 17
fill $T/private/secret 11
fill $T/a/b/c/d/e/deep 1
fill $T/notes.txt 321
ln -s ../notes.txt $T/a/link
ln $T/notes.txt $T/a/hard
mkfifo $T/a/fifo
mknod $T/a/null c 1 3
# Order: '!' and '.' sort below '/' as bytes, and a/... comes first all the same.
fill $T/a! 1
fill $T/a.mp4 2
fill "$T/odd/with space" 3
fill "$T/odd/-dash" 4
fill "$T/odd/$(printf 'new\nline')" 5
fill "$T/odd/$(printf 'not\377utf-8')" 6
fill "$T/odd/$(printf 'caf\303\251')" 7
fill "$T/odd/$(printf '\001')" 8
chmod 4755 $T/cam2/0000001.mp4
chown 1000:100 $T/cam2/0000002.mp4
touch -d '1969-12-31T23:59:58.5Z' $T/odd/-dash
touch -d '2200-01-01T00:00:00Z' "$T/odd/with space"
mount -t tmpfs tmpfs $T/mnt
age $T/cam1/*/* $T/cam2/* $T/notes.txt
scan

# 2: added, removed, modified, and a new folder with something in it
fill $T/cam1/2026-01-02/y.mp4 18
mkdir -p $T/cam1/2026-01-03/sub
fill $T/cam1/2026-01-03/z.mp4 19
fill $T/cam1/2026-01-03/sub/zz.mp4 20
rm $T/cam2/0000007.mp4
fill $T/cam2/0000003.mp4 33333
chmod 600 $T/cam2/0000004.mp4
chmod 775 $T/empty
scan

# 3: a folder removed with all that is below it; file to folder and back
rm -r $T/cam1/2026-01-01
rm "$T/odd/with space" && mkdir "$T/odd/with space" && fill "$T/odd/with space/inside" 9
rmdir $T/empty && fill $T/empty 10
rm $T/a/link && ln -s elsewhere $T/a/link
scan

# 4: a folder that cannot be read, and something that changed elsewhere
chmod 700 $T/private
fill $T/cam2/0000005.mp4 55555
scan

# 5: of one sub-tree alone; what happened outside is not seen
rm $T/cam1/2026-01-02/x.mp4
fill $T/cam1/2026-01-02/w.mp4 21
fill $T/cam2/unseen.mp4 22
rm $T/notes.txt
scan --subtree cam1

# 6: told to leave out a folder, which changes meanwhile
fill $T/odd/more 23
scan --exclude /odd

# 7: everything can be seen again; a folder comes back as another
chmod 755 $T/private
rm $T/private/secret && fill $T/private/open 24
mkdir $T/cam1/2026-01-01 && fill $T/cam1/2026-01-01/1700000001_video.rf1p 1000
mv $T/cam2/0000006.mp4 $T/cam1/moved.mp4
mv $T/a/b $T/odd/b
scan

# 8: nothing at all
scan

# 9: what changed before changes again, what had come goes
fill $T/cam2/0000003.mp4 3
rm $T/cam1/2026-01-02/w.mp4
rm -r "$T/odd/with space"
fill "$T/odd/with space" 25
scan

cp /mnt/db/golden.db "$PREFIX.db"
chmod 644 "$PREFIX.db"
for n in 1 2 3 4 5 6 7 8 9; do
	/mnt/fsmeta ls --format jsonl "/mnt/db/golden.db@$n" >"$PREFIX@$n.jsonl" || [ $? = 2 ]
done
