// Chains two exported VHD files with Xen Orchestra's vhd-lib, prints the SHA-256 of what each holds as JSON, and writes
// what the chain holds as one VHD stream.  node vhd_lib.cjs DIRECTORY FULL DELTA MERGED
const crypto = require('crypto')
const fs = require('fs')
const path = require('path')
const { VhdSynthetic, chainVhd, checkVhdChain } = require('vhd-lib')

const [directory, full, delta, merged] = process.argv.slice(2)

// What vhd-lib asks of a remote, for files in the directory.
const handler = {
  isEncrypted: false,
  openFile: (name, flags) => fs.promises.open(path.join(directory, name), flags),
  closeFile: file => file.close(),
  getSize: async file =>
    (await (typeof file === 'string' ? fs.promises.stat(path.join(directory, file)) : file.stat())).size,
  getSizeOnDisk: file => handler.getSize(file),
  read: async (file, buffer, position) => await file.read(buffer, 0, buffer.length, position),
  write: async (file, buffer, position) => await file.write(buffer, 0, buffer.length, position),
}

async function main() {
  await chainVhd(handler, full, handler, delta, true)
  await checkVhdChain(handler, delta)
  const found = {}
  for (const name of [full, delta]) {
    const opened = await VhdSynthetic.fromVhdChain(handler, name)
    await opened.value.readBlockAllocationTable()
    const hash = crypto.createHash('sha256')
    for await (const piece of await opened.value.rawContent()) {
      hash.update(piece)
    }
    found[name] = hash.digest('hex')
    if (name === delta) {
      await fs.promises.writeFile(path.join(directory, merged), await opened.value.stream())
    }
    await opened.dispose()
  }
  console.log(JSON.stringify(found))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
