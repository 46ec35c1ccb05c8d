// Plays Xen Orchestra's own library against a server: node xen_orchestra.mjs URL PASSWORD TRANSPORT
import { Xapi } from '@xen-orchestra/xapi'
import { Readable } from 'node:stream'
import assert from 'node:assert/strict'

const [, , url, password, transport] = process.argv
const MEBIBYTE = 1 << 20
const xapi = new Xapi({ url, auth: { user: 'root', password }, transport, debounce: 20, eventPollDelay: 1000 })
const gathered = async stream => {
  const parts = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}
const streamed = (buffer, { length = true } = {}) => {
  const parts = []
  for (let at = 0; at < buffer.length; at += 65536) parts.push(buffer.subarray(at, at + 65536))
  const stream = Readable.from(parts, { objectMode: false })
  if (length) stream.length = buffer.length
  return stream
}

await xapi.connect()
await xapi.objectsFetched
await xapi.barrier()
const sr = xapi.pool.default_SR
const template = Object.values(xapi.objects.all).find(object => object.name_label === 'Other install media')
const network = Object.values(xapi.objects.all).find(object => object.$type === 'network' && object.PIFs.length > 0)
await xapi.callAsync('SR.scan', sr)

const vm = await xapi.VM_create({ ...template, name_label: 'made by xo', is_a_template: false, other_config: {} })
const vdi = await xapi.VDI_create({ name_label: 'made by xo', SR: sr, virtual_size: 4 * MEBIBYTE })
await xapi.VBD_create({ VM: vm, VDI: vdi, bootable: true })
await xapi.VBD_create({ VM: vm, type: 'CD' })
await xapi.VIF_create({ VM: vm, network: network.$ref })

const content = Buffer.alloc(4 * MEBIBYTE)
for (let at = 0; at < 2 * MEBIBYTE; at += 4) content.writeUInt32LE(at, at)
await xapi.VDI_importContent(vdi, streamed(content), { format: 'raw' })
await xapi.VDI_importContent(vdi, content, { format: 'raw' })
await xapi.putResource(streamed(content, { length: false }), '/import_raw_vdi/', {
  query: { vdi, format: 'raw' },
  task: true,
})
assert((await gathered(await xapi.VDI_exportContent(vdi, { format: 'raw' }))).equals(content))
const vhd = await gathered(await xapi.VDI_exportContent(vdi, { format: 'vhd' }))
const copy = await xapi.SR_importVdi(sr, streamed(vhd), { format: 'vhd' })
assert((await gathered(await xapi.VDI_exportContent(copy, { format: 'raw' }))).equals(content))
await xapi.VDI_destroy(copy)

await xapi.callAsync('VM.start', vm, false, false)
await xapi.waitObjectState(vm, record => record.power_state === 'Running', { timeout: 10e3 })
const snapshot = await xapi.VM_snapshot(vm, { name_label: 'snapshot' })
assert.equal((await xapi.barrier(snapshot)).$snapshot_of.$ref, vm)
const exported = await xapi.VM_export(vm, { compress: 'zstd' })
const archive = await gathered(exported.body)
await exported.task
const imported = await xapi.VM_import(streamed(archive), sr)
await xapi.VM_reboot(vm)
for (const ref of [imported, vm]) await xapi.VM_destroy(ref, { force: true })
await xapi.barrier()
for (const ref of [imported, vm, vdi, snapshot]) assert.equal(xapi.getObjectByRef(ref, null), null)
await assert.rejects(xapi.callAsync('VM.start', vm, false, false), { code: 'HANDLE_INVALID' })
await xapi.disconnect()
process.exit(0)
